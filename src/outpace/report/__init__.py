"""What a person sees. Nothing is computed here: figures come finished, and are only written out."""

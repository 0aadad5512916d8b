"""A worker has died: how (`exits`), whose fault it was (`blame`), and in what words (`wording`)."""

"""What this process may use of the machine, and what it has used.

`cpus` and `memory` say what the system and the container allow (`cgroup` reads it), `ulimits` how many
descriptors and threads, `cpu_time` what was spent, `clocks` how long a wait can be. Nothing is imported
here: `import outpace` pays for what it needs.
"""

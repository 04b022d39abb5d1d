"""The structure of each kernel: how often its parts run, from the constant parameters of a call alone."""

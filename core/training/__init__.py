"""From a configuration to a finished run folder: encode once, train task by task, evaluate, record."""

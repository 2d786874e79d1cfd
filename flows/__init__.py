"""Jobs, Makers, launching and the command line: everything that runs."""

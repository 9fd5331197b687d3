"""Files that outlive kernels: looked at, uploaded and deleted below the three roots of a volume."""

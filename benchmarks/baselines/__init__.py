"""What hvae is compared with, written in plain torch and SciPy. It imports nothing of hvae."""

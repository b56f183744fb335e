"""What is measured: each module runs alone and prints one line of JSON."""

"""The sections of bench/gpu.sh, each a program of its own."""

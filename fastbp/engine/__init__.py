"""What one call on a network is: validation, buffers, threads, and the supervision of a fit. No arithmetic of a step."""

"""What compiled code outside the package calls: C functions of networks and trainers."""

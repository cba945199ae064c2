"""What tests share: services, waiting, processes."""

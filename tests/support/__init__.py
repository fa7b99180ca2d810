"""What tests and load tests stand on: servers, the proxy between them and the service, and the service itself."""

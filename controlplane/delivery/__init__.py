"""Where notifications and logs are handed over: files, webhooks, and endpoints that speak the service's own APIs."""

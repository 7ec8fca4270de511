"""The plain HTTP door: REST routes, what they take and answer, and the OpenAPI document that says so."""

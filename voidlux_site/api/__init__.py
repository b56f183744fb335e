"""The REST API that joins the routers of all layers."""

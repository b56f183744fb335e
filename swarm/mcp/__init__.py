"""What agents say to the node, and how they prove who they are: tools over MCP at `/mcp`."""

"""atlaskit."""

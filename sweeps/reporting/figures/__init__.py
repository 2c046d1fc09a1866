"""Pictures of a study: what they show (`charts`), as SVG (`static`) and for a browser (`interactive`)."""

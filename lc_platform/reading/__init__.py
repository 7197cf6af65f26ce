"""What the platform has made, read by people and programs: `lc_platform.open`."""

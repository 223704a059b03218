"""GUI-agent sessions: a model proposes steps on a real browser page; a person, or caution, lets them happen."""

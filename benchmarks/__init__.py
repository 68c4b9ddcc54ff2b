"""Every figure in the documentation, measured beside a peer in the same run. See CONTRIBUTING.md, Measure."""

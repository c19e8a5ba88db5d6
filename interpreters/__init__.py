"""Everything that touches the world: drivers, the live interpreter, stores, the browser, and a simulated Kick."""

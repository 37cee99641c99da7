//! The `nsgwatch` binary.

fn main() {}

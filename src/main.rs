//! The `lepus` program.
fn main() {}

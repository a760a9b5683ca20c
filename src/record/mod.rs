//! What records are made of, as producers give them and consumers get them.

mod header;

pub use header::Header;

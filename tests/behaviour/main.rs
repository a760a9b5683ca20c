//! What users are promised, one module per promise.

mod produce_consume;

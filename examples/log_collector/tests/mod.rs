//! Runs of the whole collector over files that change as those of real programs do.

mod contents;
mod keeping;
mod place;
mod rotation;
mod showing;
mod under_it;

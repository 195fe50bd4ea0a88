//! What tests need around Passbridge. Never a dependency of the product, only of tests.

pub mod postgres;

//! The outside world in small, for the demo, the conformance kit and the tests: iPhones, APNs and Google Wallet.
//!
//! A simulator shares no code with what it stands opposite to. The phone reads a package and speaks the web service from
//! Apple's documents alone, so that agreement between the two means something.

pub mod apns;
pub mod conformance;
pub mod google;
pub mod iphone;
mod tls;

//! Google's side of the workers: its root keys, by which call-backs prove themselves.

mod roots;

use std::sync::Arc;

use google_wallet::callback::RootKeys;

pub(crate) use roots::run as keep_roots;

/// How to reach Google Wallet.
#[derive(Clone)]
pub struct GoogleSettings {
    /// Where Google publishes the keys that its call-backs are signed with.
    pub root_keys_url: String,
    /// Takes those keys whenever they were fetched.
    pub on_root_keys: Arc<dyn Fn(RootKeys) + Send + Sync>,
}

impl std::fmt::Debug for GoogleSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoogleSettings").field("root_keys_url", &self.root_keys_url).finish_non_exhaustive()
    }
}

impl GoogleSettings {
    /// Google itself.
    pub fn new(on_root_keys: impl Fn(RootKeys) + Send + Sync + 'static) -> Self {
        Self { root_keys_url: google_wallet::callback::ROOT_KEYS_URL.to_owned(), on_root_keys: Arc::new(on_root_keys) }
    }
}

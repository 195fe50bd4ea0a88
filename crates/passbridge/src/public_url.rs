//! The address at which phones and browsers reach this server. It is baked into every pass, so what cannot be one is refused.

use anyhow::bail;
use http::Uri;

use crate::config;

/// Refuses an address below which no page or web service of ours would be found.
///
/// # Errors
/// When it is not the address of a host, or says more than that: pages lead to one another from the root of their host.
pub(crate) fn check(url: &str) -> anyhow::Result<()> {
    let Some(uri) = parsed(url) else {
        let given = config::hide_password(url);
        bail!("public_url must be an address such as https://passes.example.com (or http:// on this machine): {given}");
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        bail!("public_url has a user name or password, which would stand in every pass: leave it out");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || url.contains('#') {
        bail!(
            "public_url says more than a host: pages and Apple's web service stand at its root, so leave out what follows it: {url}"
        );
    }
    Ok(())
}

/// Whether only this machine reaches it.
pub(crate) fn is_local(url: &str) -> bool {
    parsed(url).is_some_and(|uri| matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]")))
}

fn parsed(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    // In small letters, as everything that asks whether it is HTTPS compares it.
    let is_web = url.starts_with("http://") || url.starts_with("https://");
    let authority = uri.authority()?;
    let host = authority.as_str().rsplit('@').next()?;
    let names_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let has_wrong_port = names_port && !matches!(authority.port_u16(), Some(1..));
    (is_web && !authority.host().is_empty() && !has_wrong_port).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_host_and_no_more() {
        for right in
            ["https://passes.example.com", "https://passes.example.com/", "http://localhost:8080", "https://[2001:db8::1]:8443"]
        {
            assert!(check(right).is_ok(), "{right}");
        }
        for (wrong, part) in [
            ("passes.example.com", "such as"),
            ("ftp://passes.example.com", "such as"),
            ("HTTPS://passes.example.com", "such as"),
            ("https://", "such as"),
            ("https:///p", "such as"),
            ("https://passes example.com", "such as"),
            ("https://passes.example.com:99999", "such as"),
            ("https://passes.example.com:", "such as"),
            ("https://us:hush@passes.example.com", "leave it out"),
            ("https://passes.example.com/wallet", "says more than a host"),
            ("https://passes.example.com?from=x", "says more than a host"),
            ("https://passes.example.com#top", "says more than a host"),
        ] {
            let why = check(wrong).unwrap_err().to_string();
            assert!(why.contains(part) && !why.contains("hush"), "{wrong}: {why}");
        }
        assert!(is_local("http://localhost:8080") && is_local("http://[::1]:1") && !is_local("http://localhost.example.com"));
    }
}

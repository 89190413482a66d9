//! Addresses as they may be shown. It must not know what they are of.

/// An address without what may be a credential in it: what stands before the host, and what is asked behind the path.
/// It need not be one that can be used, since it may be shown to say just that.
#[must_use]
pub fn without_credentials(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        // Without a scheme an @ alone tells that something is before a host.
        return address.rsplit_once('@').map_or_else(|| address.to_owned(), |(_, host)| format!("…@{host}"));
    };
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
    match rest.split_once(['?', '#']) {
        Some((place, _)) => format!("{scheme}://{place}?…"),
        None => format!("{scheme}://{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_but_where_it_leads() {
        for (address, shown) in [
            ("https://host:1/x", "https://host:1/x"),
            ("https://ann:hush@host:1/x?y=hush", "https://…@host:1/x?…"),
            ("http://a:h@ush@host", "http://…@host"),
            ("http://a:h?ush@host", "http://…@host"),
            ("http://host:port/?token=hush", "http://host:port/?…"),
            ("http://host#hush", "http://host?…"),
            ("ann:hush@host", "…@host"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(address), shown);
        }
    }
}

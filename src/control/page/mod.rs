//! The web page at `/`: the verify form with its explanation, live verdicts, hits by rule.
//!
//! One file, embedded; it holds no data and asks the `/v1` routes for everything, so it needs no token and they do.
//! Its policy lets a browser run exactly the script and the style that stand in it, and talk to nobody but the agent.

use axum::http::header;
use axum::response::IntoResponse;

/// The page.
const PAGE: &str = include_str!("page.html");

/// What a browser may do with the page. The two hashes are those of its script and its style; a test compares them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    script-src 'sha256-AGZ3Qdwdqhu2bZrChqDx7xscX8bhUZnBKX0INR6oDFQ='; \
    style-src 'sha256-ruWs5NZZvguocXJc25DYHd7KQcQNl/uSgL4NKj9hICI='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers `GET /`.
pub(super) async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_the_page_s_own_script_and_style() {
        for tag in ["script", "style"] {
            let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
            let (_, rest) = PAGE.split_once(&open).unwrap();
            let (text, rest) = rest.split_once(&close).unwrap();
            assert!(!rest.contains(&open), "one {tag}");
            let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
            let wanted = format!("{tag}-src 'sha256-{hash}'");
            assert!(
                CONTENT_SECURITY_POLICY.contains(&wanted),
                "the page's policy must say {wanted}"
            );
        }
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        for outside in ["http://", "https://", "src=", "href=", "url(", "@import", "innerHTML"] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }
}

//! What a message may weigh, and how a client is told that it weighs too much.

use http::{HeaderValue, Response};
use tonic::body::Body;

/// tonic's text for a message over the limit, up to the size found.
const TONIC_TOO_LARGE: &str = "decoded message length too large: found ";

/// Rewrites tonic's answer to a message over the limit into grpc-go's, which clients of etcd know:
/// code `ResourceExhausted` and its wording.
pub(crate) fn rewrite_too_large(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    if headers.get("grpc-status").is_none_or(|code| code != "11") {
        return;
    }
    let Some(text) = headers.get("grpc-message").and_then(|text| text.to_str().ok()) else {
        return;
    };
    // The header is percent-encoded.
    let text = text.replace("%20", " ");
    let Some((_, sizes)) = text.split_once(TONIC_TOO_LARGE) else { return };
    let mut numbers = sizes.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let (Some(found), Some(limit)) = (numbers.next(), numbers.next()) else { return };
    let text =
        format!("grpc:%20received%20message%20larger%20than%20max%20({found}%20vs.%20{limit})");
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert("grpc-status", HeaderValue::from_static("8"));
        headers.insert("grpc-message", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_message_is_refused_in_grpc_gos_words() {
        let text = "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes";
        let mut response = tonic::Status::out_of_range(text).into_http::<Body>();
        rewrite_too_large(&mut response);
        assert_eq!(response.headers()["grpc-status"], "8");
        assert_eq!(
            response.headers()["grpc-message"],
            "grpc:%20received%20message%20larger%20than%20max%20(9%20vs.%204)"
        );
    }

    #[test]
    fn other_out_of_range_answers_pass() {
        let mut response = tonic::Status::out_of_range("compacted").into_http::<Body>();
        rewrite_too_large(&mut response);
        assert_eq!(response.headers()["grpc-status"], "11");
    }
}

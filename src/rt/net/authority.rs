//! `:authority: http://host:port`, as etcdctl 3.4 says it, becomes `:authority: host:port`.
//!
//! grpc-go of that time takes the whole endpoint for the authority of its requests where the
//! endpoint is a URL, which it is in every member list. Go's servers do not look; h2 refuses the
//! stream (RFC 9113 §8.3.1 does not allow a scheme there). So the first request of a connection
//! is looked at before h2 sees it. What nearly all clients say is right, and their connections
//! are never looked at again; the others' headers are mended until the end.
//!
//! Mending shortens a header that the client's HPACK table has in full. That is safe: a table with
//! shorter entries keeps them longer, and entries are counted from the newest.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};

/// Length, type, flags and stream of a frame (RFC 9113 §4.1).
const FRAME_HEADER_BYTES: usize = 9;
/// Of longer frames h2 complains.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// Longer authorities are left as they are.
const AUTHORITY_BYTES_MAX: usize = 126;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// `:authority` in HPACK's static table (RFC 7541 appendix A).
const AUTHORITY: usize = 1;

/// What a client sends behind HTTP/2's preface, on its way to h2.
#[derive(Debug, Default)]
pub(super) struct Authority {
    /// The beginning of a frame.
    held: BytesMut,
    /// Whether the first request needed it.
    mends: bool,
}

/// What is to be passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// More will be looked at.
    Some(Bytes),
    /// Nothing of what comes behind this needs to be looked at.
    Last(Bytes),
}

impl Authority {
    /// Takes what has arrived; passes on the frames that are complete.
    pub(super) fn pass(&mut self, arrived: &[u8]) -> Passed {
        self.held.extend_from_slice(arrived);
        let mut passed = BytesMut::new();
        while let Some(header) = self.held.first_chunk::<FRAME_HEADER_BYTES>() {
            let [a, b, c, kind, flags, ..] = *header;
            let payload = u32::from_be_bytes([0, a, b, c]) as usize;
            let is_whole = kind != HEADERS || flags & END_HEADERS != 0;
            if payload > PAYLOAD_BYTES_MAX || !is_whole {
                return self.rest(passed);
            }
            let length = FRAME_HEADER_BYTES + payload;
            if self.held.len() < length {
                break;
            }
            let frame = self.held.split_to(length);
            let mended = if kind == HEADERS { mended(&frame) } else { None };
            passed.extend_from_slice(mended.as_deref().unwrap_or(&frame));
            self.mends |= mended.is_some();
            if kind == HEADERS && !self.mends {
                return self.rest(passed);
            }
        }
        Passed::Some(passed.freeze())
    }

    /// The client has ended: what is left of it.
    pub(super) fn end(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    fn rest(&mut self, mut passed: BytesMut) -> Passed {
        passed.unsplit(self.held.split());
        Passed::Last(passed.freeze())
    }
}

/// The HEADERS frame with the right authority; `None` if it has that.
fn mended(frame: &[u8]) -> Option<Vec<u8>> {
    let string = authority(frame)?;
    let (value, is_huffman) = Cursor { bytes: frame, at: string.start }.string()?;
    if value.len() > AUTHORITY_BYTES_MAX {
        return None;
    }
    let decoded = if is_huffman { huffman(&frame[value])? } else { frame[value].to_vec() };
    let bare = [&b"http://"[..], b"https://"].iter().find_map(|s| decoded.strip_prefix(*s))?;
    if bare.len() > AUTHORITY_BYTES_MAX {
        return None;
    }
    // It fits into the seven bits of a short length.
    let length = u8::try_from(bare.len()).ok()?;
    let parts = [&frame[..string.start], &[length], bare, &frame[string.end..]];
    let mut mended = parts.concat();
    let payload = mended.len() - FRAME_HEADER_BYTES;
    let payload = u32::try_from(payload).ok().filter(|_| payload <= PAYLOAD_BYTES_MAX)?;
    mended[..3].copy_from_slice(&payload.to_be_bytes()[1..]);
    Some(mended)
}

/// Where in a HEADERS frame the string is that says the authority, if it is spelt out.
fn authority(frame: &[u8]) -> Option<Range<usize>> {
    let flags = frame[4];
    let mut start = FRAME_HEADER_BYTES;
    let mut end = frame.len();
    if flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*frame.get(start)?))?;
        start += 1;
    }
    if flags & PRIORITY != 0 {
        start += 5;
    }
    let mut block = Cursor { bytes: frame.get(..end)?, at: start };
    loop {
        // RFC 7541 §6: indexed, literal to be indexed, table size, literal.
        let index = match *block.bytes.get(block.at)? {
            0x80.. => {
                block.integer(7)?;
                continue;
            }
            0x40..0x80 => block.integer(6)?,
            0x20..0x40 => {
                block.integer(5)?;
                continue;
            }
            0x00..0x20 => block.integer(4)?,
        };
        if index == 0 {
            block.string()?;
        }
        let start = block.at;
        block.string()?;
        if index == AUTHORITY {
            return Some(start..block.at);
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// RFC 7541 §5.1; none that is used here needs more than four bytes.
    fn integer(&mut self, prefix_bits: u32) -> Option<usize> {
        let mut rest = self.bytes.get(self.at..)?;
        let all = rest.len();
        let most = (1_usize << prefix_bits) - 1;
        let mut value = usize::from(rest.try_get_u8().ok()?) & most;
        if value == most {
            for shift in [0, 7, 14, 21] {
                let byte = usize::from(rest.try_get_u8().ok()?);
                value += (byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    self.at += all - rest.len();
                    return Some(value);
                }
            }
            return None;
        }
        self.at += 1;
        Some(value)
    }

    /// RFC 7541 §5.2: where its bytes are, and whether they are Huffman's.
    fn string(&mut self) -> Option<(Range<usize>, bool)> {
        let is_huffman = self.bytes.get(self.at)? & 0x80 != 0;
        let length = self.integer(7)?;
        let start = self.at;
        self.at = start.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        Some((start..self.at, is_huffman))
    }
}

/// What may stand in an authority, by the number of bits of its code, the first of which is given
/// (RFC 7541 appendix B: codes of one length are consecutive in this order).
const CODES: [(u32, u32, &[u8]); 9] = [
    (5, 0x00, b"012aceiost"),
    (6, 0x15, b"%-./3456789"),
    (6, 0x21, b"A_bdfghlmnpru"),
    (7, 0x5c, b":BCDEFGHIJKLMNOPQRSTUVWY"),
    (7, 0x74, b"jkqvwxyz"),
    (8, 0xfc, b"X"),
    (8, 0xfd, b"Z"),
    (13, 0x1ffb, b"["),
    (13, 0x1ffc, b"]"),
];

/// Decodes Huffman's code as far as authorities need it.
fn huffman(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len() * 2);
    let (mut code, mut bits) = (0_u32, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| u32::from(byte >> n & 1))) {
        (code, bits) = (code << 1 | bit, bits + 1);
        let symbol = CODES.iter().find_map(|(length, first, symbols)| {
            let nth = code.checked_sub(*first).filter(|_| *length == bits)?;
            symbols.get(nth as usize)
        });
        if let Some(symbol) = symbol {
            decoded.push(*symbol);
            (code, bits) = (0, 0);
        } else if bits > 13 {
            return None;
        }
    }
    // What is left is padding: less than a byte of ones.
    (bits < 8 && code + 1 == 1 << bits).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of this kind and these flags.
    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// POST, http, and this authority to be indexed, as etcdctl has it; then a path.
    fn headers(authority: &[u8]) -> Vec<u8> {
        let block = [&[0x83, 0x86, 0x41], authority, &[0x04, 2, b'/', b'x']].concat();
        frame(HEADERS, END_HEADERS, &block)
    }

    fn plain(value: &str) -> Vec<u8> {
        [&[u8::try_from(value.len()).expect("short")], value.as_bytes()].concat()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 7541 C.4.1 and C.4.2.
        let example = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(huffman(&example).as_deref(), Some(&b"www.example.com"[..]));
        let no_cache = [0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
        assert_eq!(huffman(&no_cache).as_deref(), Some(&b"no-cache"[..]));
        assert_eq!(huffman(&[0x64, 0x02]).as_deref(), Some(&b"302"[..]), "no padding");
        assert_eq!(huffman(&[0x64]), None, "3, and zeros for padding");
        assert_eq!(huffman(&[0x67, 0xff]), None, "3, and ten ones");
        assert_eq!(huffman(&[0xff; 4]), None, "the end of strings is none");
    }

    /// As Go's encoder writes it.
    fn coded(value: &[u8]) -> Vec<u8> {
        [&[0x80 | u8::try_from(value.len()).expect("short")], value].concat()
    }

    #[test]
    fn a_scheme_is_taken_away_and_nothing_else() {
        let v4 = coded(b"\x9d\x29\xae\xe3\x0c\x04\x4e\xae\x05\xc0\xb8\x6e\x09\x97\x5f");
        let v6 = coded(b"\x9d\x29\xae\xe3\x0c\x7f\xee\xe5\xc0\xff\xf2\xe0\x99\x75\xff");
        let name = coded(
            b"\x9d\x29\xad\x17\x18\x63\x49\xe4\x2c\x50\xac\x15\xcb\xe4\x74\xd7\x41\x6e\x3c\x0f",
        );
        for (said, meant) in [
            (plain("http://127.0.0.1:2379"), "127.0.0.1:2379"),
            (plain("https://etcd.example:2379"), "etcd.example:2379"),
            (v4, "127.0.0.1:2379"),
            (v6, "[::1]:2379"),
            (name, "Node_A-1.example:80"),
        ] {
            let mut authority = Authority::default();
            let mended = headers(&plain(meant));
            assert_eq!(authority.pass(&headers(&said)), Passed::Some(mended.into()), "{meant}");
            // The same again from the client's table, and spelt out when it has been pushed out.
            let known = frame(HEADERS, END_HEADERS, &[0x83, 0x86, 0xbf]);
            assert_eq!(authority.pass(&known), Passed::Some(known.clone().into()));
            let mended = headers(&plain(meant));
            assert_eq!(authority.pass(&headers(&said)), Passed::Some(mended.into()), "{meant}");
        }
    }

    #[test]
    fn who_says_it_right_is_looked_at_once() {
        let settings = frame(4, 0, &[0; 6]);
        let right = coded(b"\x08\x9d\x5c\x0b\x81\x70\xdc\x13\x2e\xbf");
        for right in [plain("127.0.0.1:2379"), right, plain("http:"), plain("")] {
            let all = [&settings[..], &headers(&right), b"whatever"].concat();
            assert_eq!(Authority::default().pass(&all), Passed::Last(all.clone().into()));
        }
    }

    #[test]
    fn frames_are_found_however_they_arrive() {
        let data = frame(0, 0, &[7; PAYLOAD_BYTES_MAX]);
        let wrong = headers(&plain("http://a:1"));
        let sent = [&frame(4, 0, &[0; 6])[..], &wrong, &data, &wrong, &data].concat();
        let right = headers(&plain("a:1"));
        let meant = [&frame(4, 0, &[0; 6])[..], &right, &data, &right, &data].concat();
        for step in [1, 7, 100, sent.len()] {
            let mut authority = Authority::default();
            let passed = sent.chunks(step).map(|arrived| match authority.pass(arrived) {
                Passed::Some(bytes) => bytes,
                Passed::Last(_) => panic!("it is looked at to its end"),
            });
            assert_eq!(passed.collect::<Vec<_>>().concat(), meant, "by {step}");
            assert_eq!(authority.end(), Bytes::new());
        }
    }

    #[test]
    fn padding_and_priority_stay_where_they_are() {
        let payload = |authority: &[u8]| {
            [&[3, 0, 0, 0, 0, 16, 0x3f, 0xe1, 0x1f, 0x83, 0x41], authority, &[0; 3]].concat()
        };
        let flags = END_HEADERS | PADDED | PRIORITY;
        let wrong = frame(HEADERS, flags, &payload(&plain("http://a:1")));
        let right = frame(HEADERS, flags, &payload(&plain("a:1")));
        assert_eq!(Authority::default().pass(&wrong), Passed::Some(right.into()));
    }

    #[test]
    fn what_is_none_of_its_business_is_left_to_h2() {
        for odd in [
            frame(HEADERS, 0, &[0x41, 1, b'a']),
            frame(HEADERS, END_HEADERS, &[0x41, 200, b'a']),
            frame(HEADERS, END_HEADERS | PADDED, &[200, 0x41]),
            frame(HEADERS, END_HEADERS, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            frame(HEADERS, END_HEADERS, &[0x00]),
            frame(HEADERS, END_HEADERS, &[]),
            headers(&plain(&format!("http://{}", "a".repeat(120)))),
            vec![0xff; 40],
        ] {
            assert_eq!(Authority::default().pass(&odd), Passed::Last(odd.clone().into()));
        }
        let mut authority = Authority::default();
        assert_eq!(authority.pass(&[]), Passed::Some(Bytes::new()));
        assert_eq!(authority.pass(&[0, 0]), Passed::Some(Bytes::new()));
        assert_eq!(authority.end(), &[0, 0][..]);
    }
}

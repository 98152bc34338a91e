//! txn: conditions and operations from standard input, three blocks ended by empty lines.
//!
//! ```text
//! mod("key") > "0"
//!
//! put key "a value"
//! get --prefix k
//!
//! del key
//!
//! ```

use std::io::BufRead;

use reseed_client::{Compare, Op, Txn, op::CompareResult};

use super::{
    CtlError, Session,
    args::{self, OpLine},
    kv,
    print::Answer,
    text, write_out,
};

pub(super) async fn run(session: &Session, is_interactive: bool) -> Result<(), CtlError> {
    // Nothing else runs on this thread meanwhile, so waiting for the terminal holds nobody up.
    let txn = read(&mut std::io::stdin().lock(), is_interactive)?;
    let response = session.client.txn(txn).await?;
    session.show(&Answer::Txn(response))
}

fn read(input: &mut impl BufRead, is_interactive: bool) -> Result<Txn, CtlError> {
    let prompt = |text: &str| if is_interactive { write_out(text) } else { Ok(()) };
    prompt("compares:\n")?;
    let conditions = block(input, compare)?;
    prompt("success requests (get, put, del):\n")?;
    let success = block(input, op)?;
    prompt("failure requests (get, put, del):\n")?;
    let failure = block(input, op)?;
    Ok(Txn::new().when(conditions).then(success).or_else(failure))
}

fn block<T>(
    input: &mut impl BufRead,
    parse: impl Fn(&str) -> Result<T, CtlError>,
) -> Result<Vec<T>, CtlError> {
    let mut items = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).map_err(|error| CtlError::invalid_input(error.to_string()))?;
        let Some(line) = line.strip_suffix('\n') else {
            return Err(CtlError::invalid_input("EOF"));
        };
        match line.trim() {
            "" => return Ok(items),
            line => items.push(parse(line)?),
        }
    }
}

/// `mod("key") > "0"`
fn compare(line: &str) -> Result<Compare, CtlError> {
    let malformed = || CtlError::invalid_input(format!("malformed comparison: {line}"));
    let (target, rest) = line.split_once('(').ok_or_else(malformed)?;
    let (key, rest) = text::unquote(rest.trim_start()).ok_or_else(malformed)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(malformed)?.trim_start();
    let operator_len = rest.find(|c: char| !"=!<>".contains(c)).ok_or_else(malformed)?;
    let (operator, rest) = rest.split_at(operator_len);
    let result = match operator {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        "<" => CompareResult::Less,
        ">" => CompareResult::Greater,
        _ => return Err(malformed()),
    };
    let (value, rest) = text::unquote(rest.trim_start()).ok_or_else(malformed)?;
    if !rest.trim().is_empty() {
        return Err(malformed());
    }
    let number = |radix| {
        let text = std::str::from_utf8(&value).map_err(|error| error.to_string());
        text.and_then(|text| text::parse_int(text, radix))
            .map_err(|_| CtlError::invalid_input(format!("invalid txn compare request: {line}")))
    };
    match target.trim() {
        "ver" | "version" => Ok(Compare::version(key, result, number(10)?)),
        "c" | "create" => Ok(Compare::create_revision(key, result, number(10)?)),
        "m" | "mod" => Ok(Compare::mod_revision(key, result, number(10)?)),
        "val" | "value" => Ok(Compare::value(key, result, value)),
        // etcdctl panics here; a lease is written in hexadecimal everywhere else.
        "lease" => Ok(Compare::lease(key, result, number(16)?)),
        other => Err(CtlError::invalid_input(format!(
            "malformed comparison: {line} (unknown target {other})"
        ))),
    }
}

/// `put key value` and so on, with the flags of those commands.
fn op(line: &str) -> Result<Op, CtlError> {
    let invalid = || CtlError::invalid_input(format!("invalid txn request: {line}"));
    let words = text::words(line).ok_or_else(invalid)?;
    Ok(match args::parse_line::<OpLine>(&words).ok_or_else(invalid)? {
        OpLine::Put(args) if args.args.len() < 2 && !args.ignore_value => {
            // Standard input is where this line came from: no value will follow there.
            let text = "put command needs 1 argument and input from stdin or 2 arguments";
            return Err(CtlError::bad_args(text));
        }
        OpLine::Put(args) => kv::put_request(&args)?.into(),
        OpLine::Get(args) => kv::get_request(&args)?.into(),
        OpLine::Del(args) => kv::del_request(&args)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use reseed_proto::etcdserverpb::{TxnRequest, compare::TargetUnion, request_op::Request};

    use super::*;

    fn txn(input: &str) -> Result<TxnRequest, String> {
        read(&mut input.as_bytes(), false).map(TxnRequest::from).map_err(|error| error.text)
    }

    #[test]
    fn three_blocks_make_a_transaction() {
        let input = "mod(\"a b\") > \"7\"\nval(\"k\") != \"x\\ny\"\nlease(\"k\")=\"ff\"\n\n\
                     put k \"a value\" --prev-kv\nget k --limit=3 --prefix\n\ndel 'k'\n\n";
        let request = txn(input).expect("well-formed");
        assert_eq!(request.compare.len(), 3);
        assert_eq!(request.compare[0].key, "a b");
        assert_eq!(request.compare[0].target_union, Some(TargetUnion::ModRevision(7)));
        assert_eq!(request.compare[1].target_union, Some(TargetUnion::Value("x\ny".into())));
        assert_eq!(request.compare[2].target_union, Some(TargetUnion::Lease(0xff)));
        let Some(Request::RequestPut(put)) = &request.success[0].request else { panic!("a put") };
        assert_eq!((&put.value[..], put.prev_kv), (&b"a value"[..], true));
        let Some(Request::RequestRange(get)) = &request.success[1].request else { panic!("a get") };
        assert_eq!((&get.range_end[..], get.limit), (&b"l"[..], 3));
        assert!(matches!(request.failure[0].request, Some(Request::RequestDeleteRange(_))));
    }

    #[test]
    fn every_mistake_is_told() {
        for (input, expected) in [
            ("", "EOF"),
            ("mod(\"a\") > \"0\"\n", "EOF"),
            ("garbage\n\n", "malformed comparison: garbage"),
            ("mod(a) > \"0\"\n\n", "malformed comparison: mod(a) > \"0\""),
            ("mod(\"a\") > 0\n\n", "malformed comparison: mod(\"a\") > 0"),
            ("mod(\"a\") >= \"0\"\n\n", "malformed comparison: mod(\"a\") >= \"0\""),
            ("mod(\"a\") > \"x\"\n\n", "invalid txn compare request: mod(\"a\") > \"x\""),
            (
                "mo(\"a\") > \"0\"\n\n",
                "malformed comparison: mo(\"a\") > \"0\" (unknown target mo)",
            ),
            ("\nfoo bar\n\n\n", "invalid txn request: foo bar"),
            ("\nput x --foo\n\n\n", "invalid txn request: put x --foo"),
            ("\nput 'x\n\n\n", "invalid txn request: put 'x"),
            ("\nget x -w json\n\n\n", "invalid txn request: get x -w json"),
            ("\nput x\n\n\n", "put command needs 1 argument and input from stdin or 2 arguments"),
        ] {
            assert_eq!(txn(input), Err(expected.to_owned()), "{input:?}");
        }
    }
}

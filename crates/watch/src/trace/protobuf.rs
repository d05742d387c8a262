//! Spans in OTLP's protocol buffers. A message is fields, each with its number and one of four shapes; what is not known is passed over.
//!
//! The numbers are those of `opentelemetry/proto/{collector/trace,trace,common}/v1`, which do not change any more.

use super::otlp::Raw;

/// Values within values: lists of maps of lists. What is deeper is left out.
const MOST_DEPTH: usize = 4;

type Found<T> = Result<T, &'static str>;

/// A field's content.
#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    fn number(self) -> Found<u64> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err("a number is expected"),
        }
    }

    fn bytes(self) -> Found<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("bytes are expected"),
        }
    }

    fn text(self) -> Found<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn fields(self) -> Found<Fields<'a>> {
        Ok(Fields(self.bytes()?))
    }
}

/// The fields of a message, in their order.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Found<(u64, Content<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            // Nothing after it can be understood.
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Found<(u64, Content<'a>)> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Number(self.varint()?),
            1 => Content::Number(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| "a length is too large")?;
                let (content, rest) = self.0.split_at_checked(length).ok_or("it ends within a field")?;
                self.0 = rest;
                Content::Bytes(content)
            }
            5 => Content::Number(u32::from_le_bytes(self.fixed()?).into()),
            _ => return Err("a field has no known shape"),
        };
        match tag >> 3 {
            0 => Err("a field has no number"),
            number => Ok((number, content)),
        }
    }

    fn fixed<const BYTES: usize>(&mut self) -> Found<[u8; BYTES]> {
        let (bytes, rest) = self.0.split_first_chunk::<BYTES>().ok_or("it ends within a number")?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn varint(&mut self) -> Found<u64> {
        let mut value = 0;
        for place in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or("it ends within a number")?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is too long")
    }
}

/// `ExportTraceServiceRequest`
pub(super) fn spans(body: &[u8]) -> Found<Vec<Raw>> {
    let mut spans = Vec::new();
    for field in Fields(body) {
        let (1, resource) = field? else { continue };
        for field in resource.fields()? {
            let (2, scope) = field? else { continue };
            for field in scope.fields()? {
                if let (2, content) = field? {
                    spans.push(span(content.fields()?)?);
                }
            }
        }
    }
    Ok(spans)
}

fn span(fields: Fields<'_>) -> Found<Raw> {
    let mut span = Raw::default();
    for field in fields {
        let (number, content) = field?;
        match number {
            1 => content.bytes()?.clone_into(&mut span.trace),
            2 => content.bytes()?.clone_into(&mut span.id),
            4 => content.bytes()?.clone_into(&mut span.parent),
            5 => span.name = content.text()?,
            6 => span.kind = content.number()?,
            7 => span.began_nanos = content.number()?,
            8 => span.ended_nanos = content.number()?,
            9 => span.attributes.push(pair(content.fields()?, 0)?),
            15 => {
                for field in content.fields()? {
                    match field? {
                        (2, message) => span.status_message = message.text()?,
                        (3, code) => span.status = code.number()?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(span)
}

/// `KeyValue`
fn pair(fields: Fields<'_>, depth: usize) -> Found<(String, String)> {
    let mut pair = (String::new(), String::new());
    for field in fields {
        match field? {
            (1, key) => pair.0 = key.text()?,
            (2, content) => pair.1 = value(content.fields()?, depth)?,
            _ => {}
        }
    }
    Ok(pair)
}

/// `AnyValue`, as text.
fn value(fields: Fields<'_>, depth: usize) -> Found<String> {
    let mut said = String::new();
    for field in fields {
        let (number, content) = field?;
        said = match number {
            1 => content.text()?,
            2 => (content.number()? != 0).to_string(),
            3 => content.number()?.cast_signed().to_string(),
            4 => f64::from_bits(content.number()?).to_string(),
            5 | 6 if depth >= MOST_DEPTH => "…".to_owned(),
            5 => {
                let mut list = Vec::new();
                for field in content.fields()? {
                    if let (1, content) = field? {
                        list.push(value(content.fields()?, depth + 1)?);
                    }
                }
                format!("[{}]", list.join(","))
            }
            6 => {
                let mut list = Vec::new();
                for field in content.fields()? {
                    if let (1, content) = field? {
                        let (key, value) = pair(content.fields()?, depth + 1)?;
                        list.push(format!("{key}={value}"));
                    }
                }
                format!("{{{}}}", list.join(","))
            }
            7 => format!("{} bytes", content.bytes()?.len()),
            _ => continue,
        };
    }
    Ok(said)
}

/// `ExportTraceServiceResponse` with an `ExportTracePartialSuccess`.
pub(super) fn partial_success(refused: usize, why: &str) -> Vec<u8> {
    let inner = message(|out| {
        number(out, 1 << 3);
        number(out, refused as u64);
        bytes(out, 2, why.as_bytes());
    });
    message(|out| bytes(out, 1, &inner))
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    number(out, field << 3 | 2);
    number(out, content.len() as u64);
    out.extend(content);
}

fn message(parts: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    parts(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn within(span: &[u8]) -> Vec<u8> {
        let scope = message(|out| {
            bytes(out, 1, b"\x0a\x01x");
            bytes(out, 2, span);
        });
        message(|out| bytes(out, 1, &message(|out| bytes(out, 2, &scope))))
    }

    fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
        message(|out| {
            bytes(out, 1, key.as_bytes());
            bytes(out, 2, value);
        })
    }

    #[test]
    fn every_field_is_found_and_unknown_ones_are_passed_over() {
        let span = message(|out| {
            bytes(out, 1, &[1; 16]);
            bytes(out, 2, &[2; 8]);
            bytes(out, 3, b"a=b");
            bytes(out, 4, &[3; 8]);
            bytes(out, 5, b"GET /");
            number(out, 6 << 3);
            number(out, 3);
            for (field, nanos) in [(7_u64, 10_u64), (8, 1_000_010)] {
                number(out, field << 3 | 1);
                out.extend(nanos.to_le_bytes());
            }
            let negative = message(|out| {
                number(out, 3 << 3);
                number(out, (-7_i64).cast_unsigned());
            });
            let list = message(|out| {
                let text = message(|out| bytes(out, 1, b"x"));
                bytes(out, 5, &message(|out| (0..2).for_each(|_| bytes(out, 1, &text))));
            });
            bytes(out, 9, &attribute("n", &negative));
            bytes(out, 9, &attribute("list", &list));
            bytes(out, 11, b"\x0a\x00");
            bytes(
                out,
                15,
                &message(|out| {
                    bytes(out, 2, b"broke");
                    number(out, 3 << 3);
                    number(out, 2);
                }),
            );
            number(out, 16 << 3 | 5);
            out.extend(257_u32.to_le_bytes());
        });
        let pairs = [("n", "-7"), ("list", "[x,x]")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let expected = Raw {
            trace: vec![1; 16],
            id: vec![2; 8],
            parent: vec![3; 8],
            name: "GET /".into(),
            kind: 3,
            began_nanos: 10,
            ended_nanos: 1_000_010,
            attributes: pairs.into(),
            status: 2,
            status_message: "broke".into(),
        };
        assert_eq!(spans(&within(&span)), Ok(vec![expected]));
    }

    #[test]
    fn how_many_were_refused_is_said() {
        assert_eq!(partial_success(300, "why"), b"\x0a\x08\x08\xac\x02\x12\x03why");
    }

    #[test]
    fn values_within_values_have_an_end() {
        let mut value = message(|out| bytes(out, 1, b"deep"));
        for _ in 0..1_000 {
            let list = message(|out| bytes(out, 1, &value));
            value = message(|out| bytes(out, 5, &list));
        }
        let span = message(|out| bytes(out, 9, &attribute("a", &value)));
        let found = spans(&within(&span)).expect("read");
        assert_eq!(found[0].attributes[0].1, "[[[[…]]]]");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = spans(&body);
            let _ = spans(&within(&body));
        }
    }
}

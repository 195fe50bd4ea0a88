//! Writes a small database of places in MaxMind's format: one IPv4 network with one record.
//!
//! Source: MaxMind DB File Format Specification 2.0 (<https://maxmind.github.io/MaxMind-DB/>): a binary tree over the bits
//! of the address, 16 zero bytes, the data, a marker, the metadata.

/// A value of the data section.
pub(crate) enum Value {
    Text(&'static str),
    Double(f64),
    Short(u16),
    Long(u32),
    Huge(u64),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

/// Bits of a record of the tree.
const RECORD_BITS: u16 = 24;
const SEPARATOR: [u8; 16] = [0; 16];
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// A file in which the addresses of `network/prefix` have the record.
pub(crate) fn write(kind: &'static str, network: [u8; 4], prefix: u32, record: &Value) -> Vec<u8> {
    let network = u32::from_be_bytes(network);
    let mut file = Vec::new();
    for node in 0..prefix {
        // One side goes on, the other ends with "nothing there", which is the number of nodes.
        let next = if node + 1 < prefix { node + 1 } else { prefix + SEPARATOR.len() as u32 };
        let bit = network >> (31 - node) & 1;
        let sides = if bit == 0 { [next, prefix] } else { [prefix, next] };
        for side in sides {
            file.extend(&side.to_be_bytes()[1..]);
        }
    }
    file.extend(SEPARATOR);
    put(&mut file, record);
    file.extend(MARKER);
    let metadata = Value::Map(vec![
        ("binary_format_major_version", Value::Short(2)),
        ("binary_format_minor_version", Value::Short(0)),
        ("build_epoch", Value::Huge(1_700_000_000)),
        ("database_type", Value::Text(kind)),
        ("description", Value::Map(vec![("en", Value::Text("places for a test"))])),
        ("ip_version", Value::Short(4)),
        ("languages", Value::List(vec![Value::Text("en")])),
        ("node_count", Value::Long(prefix)),
        ("record_size", Value::Short(RECORD_BITS)),
    ]);
    put(&mut file, &metadata);
    file
}

/// The control byte: the type in the upper three bits, the size in the lower five; types from 8 on in a byte of their own.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let size = u8::try_from(size).ok().filter(|size| *size < 29).expect("a test needs nothing longer");
    match kind {
        0..=7 => out.push(kind << 5 | size),
        _ => out.extend([size, kind - 7]),
    }
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            control(out, 2, text.len());
            out.extend(text.as_bytes());
        }
        Value::Double(number) => {
            control(out, 3, 8);
            out.extend(number.to_be_bytes());
        }
        Value::Short(number) => {
            control(out, 5, 2);
            out.extend(number.to_be_bytes());
        }
        Value::Long(number) => {
            control(out, 6, 4);
            out.extend(number.to_be_bytes());
        }
        Value::Map(pairs) => {
            control(out, 7, pairs.len());
            for (name, value) in pairs {
                put(out, &Value::Text(name));
                put(out, value);
            }
        }
        Value::Huge(number) => {
            control(out, 9, 8);
            out.extend(number.to_be_bytes());
        }
        Value::List(values) => {
            control(out, 11, values.len());
            values.iter().for_each(|value| put(out, value));
        }
    }
}

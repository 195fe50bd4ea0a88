//! Messages as Kafka keeps them: a batch of records (`magic` 2), and the partition that a key belongs to.
//! Source: <https://kafka.apache.org/documentation/#recordbatch>; for partitions `Utils.murmur2` and `BuiltInPartitioner` of
//! Kafka's own client, so that ours and other producers put a key into the same one.

use super::codec::Writer;
use crate::stream::Message;

/// A batch of records, uncompressed.
pub(super) fn batch(messages: &[&Message]) -> Vec<u8> {
    let base = messages.first().map_or(0, |first| at(first));
    let newest = messages.iter().map(|message| at(message)).max().unwrap_or(base);
    let mut body = Writer::default();
    // No attributes: no compression, times are the producer's, no transaction.
    body.i16(0).i32(i32::try_from(messages.len()).unwrap_or(i32::MAX) - 1).i64(base).i64(newest);
    // No idempotent producer: events carry their ids.
    body.i64(-1).i16(-1).i32(-1).length(messages.len());
    for (number, message) in messages.iter().enumerate() {
        let mut record = Writer::default();
        record.i8(0).varint(at(message) - base).varint(i64::try_from(number).unwrap_or_default());
        match &message.key {
            Some(key) => record.counted(key.as_bytes()),
            None => record.varint(-1),
        };
        record.counted(message.payload.get().as_bytes()).varint(i64::try_from(message.headers.len()).unwrap_or_default());
        for (name, value) in &message.headers {
            record.counted(name.as_bytes()).counted(value.as_bytes());
        }
        body.counted(&record.done());
    }
    let body = body.done();
    let mut batch = Writer::default();
    // What is counted: the leader's epoch, the magic, the checksum, the body.
    batch.i64(0).length(4 + 1 + 4 + body.len()).i32(-1).i8(2).raw(&crc32c(&body).to_be_bytes()).raw(&body);
    batch.done().to_vec()
}

fn at(message: &Message) -> i64 {
    message.at.unwrap_or_default()
}

/// The partition of a key among so many.
pub(super) fn partition(key: &str, partitions: usize) -> usize {
    let hash = (murmur2(key.as_bytes()) & 0x7fff_ffff) as usize;
    hash.checked_rem(partitions).unwrap_or_default()
}

fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = word.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ word >> 24).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let rest = rest.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

/// CRC-32C (Castagnoli).
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut crc, mut bit) = (at as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn keys_hash_as_in_kafkas_own_client() {
        // From `UtilsTest.testMurmur2` of <https://github.com/apache/kafka>.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert_eq!(partition("x", 0), 0);
    }
}

use parquet::{
    basic::{Compression, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
};
use serde_json::json;

use super::*;

struct Bytewise(Bytes);

impl Storage for Bytewise {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).unwrap();
        Ok(self.0.slice(start..start + length))
    }
}

/// A file with a column `name` of these texts, one page.
fn file(texts: &[&[u8]], compression: Compression) -> Vec<u8> {
    let column = Type::primitive_type_builder("name", Physical::BYTE_ARRAY).with_repetition(Repetition::REQUIRED).build();
    let schema = Type::group_type_builder("row").with_fields(vec![Arc::new(column.unwrap())]).build().unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
        .set_data_page_size_limit(1 << 30)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let texts: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(text.to_vec())).collect();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

fn read(bytes: Vec<u8>) -> Result<Vec<Value>, Unreadable> {
    let table = Table::open(Arc::new(Bytewise(bytes.into())))?;
    let mut rows = Vec::new();
    table.rows(|row| {
        rows.push(row.into());
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

fn refused(bytes: Vec<u8>) -> String {
    match read(bytes) {
        Err(Unreadable::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_come_as_objects() {
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
        let rows = read(file(&["Zoë".as_bytes(), b"\xff\x00"], compression)).unwrap();
        assert_eq!(rows, [json!({"name": "Zoë"}), json!({"name": "/wA="})], "bytes that are no text are base64");
    }
}

#[test]
fn files_that_are_no_whole_parquet_are_named() {
    let good = file(&[b"a"], Compression::SNAPPY);
    assert!(refused(b"PAR1".to_vec()).contains("too short"));
    assert!(refused(b"external_id,name\n1,Ada\n".to_vec()).contains("does not begin with PAR1"));
    assert!(refused(good[..good.len() - 1].to_vec()).contains("cut short"));
    let mut encrypted = good;
    let end = encrypted.len() - 4;
    encrypted[end..].copy_from_slice(b"PARE");
    assert!(refused(encrypted).contains("encrypted"));
}

#[test]
fn a_page_that_unpacks_to_more_than_it_may_is_refused_before_it_is_unpacked() {
    let zeros = vec![0; MAX_PAGE_BYTES + 1];
    for compression in [Compression::SNAPPY, Compression::ZSTD(Default::default())] {
        let bomb = file(&[&zeros], compression);
        assert!(bomb.len() < MAX_PAGE_BYTES / 10, "{} bytes", bomb.len());
        let why = refused(bomb);
        assert!(why.contains("column `name`") && why.contains("bytes when unpacked"), "{why}");
    }
}

#[test]
fn whatever_byte_is_wrong_reading_ends_in_words_or_rows() {
    let good = file(&[b"Ada", b"Bob", b"Carl"], Compression::SNAPPY);
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            if let Err(error) = read(bad) {
                assert!(matches!(error, Unreadable::Refused(_)), "{at}: {error}");
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_had_is_not_called_broken() {
    struct Gone;
    impl Storage for Gone {
        fn bytes(&self) -> u64 {
            1_000
        }
        fn read(&self, _: u64, _: usize) -> io::Result<Bytes> {
            Err(io::Error::other("away"))
        }
    }
    assert!(matches!(Table::open(Arc::new(Gone)), Err(Unreadable::Away(_))));
}

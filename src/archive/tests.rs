//! No bytes make the reader panic, and what it hands out is what was written.

use std::io::{Cursor, Read, Write as _};

use proptest::prelude::*;

use super::*;

/// A zip archive with a folder, a stored and a deflated file.
fn zip() -> Vec<u8> {
    let metadata = |mode| Metadata { mode, modified: 1_700_000_001, owner: (1000, 100) };
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    writer.folder("a", metadata(0o755)).unwrap();
    writer.file("a/b", 5, CompressionMethod::Stored, metadata(0o644)).unwrap().write_all(b"hello").unwrap();
    writer.file("a/c", 1000, CompressionMethod::Deflated, metadata(0o600)).unwrap().write_all(&[b'x'; 1000]).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The blocks of an entry of a tar archive.
fn block(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut block = [0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(124, format!("{:011o}\0", data.len()).as_bytes());
    put(136, b"14524770401\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = data.len().next_multiple_of(512) - data.len();
    [&block[..], data, &vec![0; padding]].concat()
}

fn tar_of(blocks: &[Vec<u8>]) -> Vec<u8> {
    zstd::encode_all(&[&blocks.concat()[..], &[0; 1024]].concat()[..], 3).unwrap()
}

/// A tar archive with a folder, a file and an extended header.
fn tar() -> Vec<u8> {
    let pax = block("x", b'x', b"12 path=a/b\n20 mtime=1700000001\n");
    tar_of(&[block("a/", b'5', b""), pax, block("short", b'0', b"hello"), block("a/c", b'0', &[b'x'; 1000])])
}

type Listed = (String, EntryKind, Option<i64>, Vec<u8>);

fn list(bytes: &[u8]) -> Result<Vec<Listed>, String> {
    let mut entries = Vec::new();
    let mut visit = |entry: &Entry, data: &mut dyn Read| -> Result<(), Stop<()>> {
        let mut content = Vec::new();
        data.read_to_end(&mut content)?;
        entries.push((entry.name.to_string(), entry.kind, entry.modified, content));
        Ok(())
    };
    match read_from(&mut Cursor::new(bytes), &Limits::default(), &mut visit) {
        Ok(true) => Ok(entries),
        Ok(false) => Err("no archive".to_owned()),
        Err(Stop::Refused(refusal)) => Err(refusal.to_string()),
        Err(Stop::Caller(())) => unreachable!(),
    }
}

#[test]
fn what_was_written_is_read() {
    let time = Some(1_700_000_001);
    let expected = [
        ("a".to_owned(), EntryKind::Folder, time, vec![]),
        ("a/b".to_owned(), EntryKind::File, time, b"hello".to_vec()),
        ("a/c".to_owned(), EntryKind::File, time, vec![b'x'; 1000]),
    ];
    assert_eq!(list(&zip()).unwrap(), expected);
    assert_eq!(list(&tar()).unwrap(), expected);
}

#[test]
fn more_entries_than_sixteen_bits_count_are_read() {
    let metadata = Metadata { mode: 0o644, modified: 0, owner: (0, 0) };
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    for number in 0..70_000 {
        writer.file(&number.to_string(), 0, CompressionMethod::Stored, metadata).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(list(&bytes).unwrap().len(), 70_000);
    let limits = Limits { entries: 69_999, ..Limits::default() };
    let refused = read_from::<_, ()>(&mut Cursor::new(&bytes), &limits, &mut |_, _| Ok(()));
    assert!(matches!(refused, Err(Stop::Refused(refusal)) if refusal.to_string().contains("more than 69999 entries")));
}

/// An empty archive is one: `PK\x05\x06` and nothing before.
#[test]
fn an_archive_without_entries_is_read() {
    assert_eq!(list(&Writer::new(Cursor::new(Vec::new())).finish().unwrap().into_inner()).unwrap(), []);
}

/// The header has no room for the size of a blob of 8 GiB: Go writes zero there, and the size into the extended header.
#[test]
fn a_size_in_an_extended_header_counts() {
    let mut data = block("a", b'0', b"");
    data.extend(b"hello");
    data.resize(1024, 0);
    let listed = list(&tar_of(&[block("x", b'x', b"9 size=5\n"), data, block("b", b'0', b"x")])).unwrap();
    let found: Vec<_> = listed.iter().map(|(name, _, _, content)| (name.as_str(), content.as_slice())).collect();
    assert_eq!(found, [("a", &b"hello"[..]), ("b", b"x")]);
}

#[test]
fn headers_that_would_fill_the_memory_are_refused() {
    for kind in [b'x', b'L', b'K', b'g'] {
        // Noise, so that it is no bomb.
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(2 << 20).collect();
        assert!(list(&tar_of(&[block("x", kind, &noise)])).unwrap_err().contains("longer than any name needs"));
    }
    // The end of the directory, for zip64, may have a sector of any size behind it.
    let sector = vec![0; 2 << 20];
    let end = [&b"PK\x06\x06"[..], &(44 + sector.len() as u64).to_le_bytes(), &[0; 44], &sector].concat();
    let locator = [&b"PK\x06\x07\0\0\0\0"[..], &30_u64.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    let last = [&b"PK\x05\x06\0\0\0\0"[..], &[0xff; 12], &[0; 2]].concat();
    let zip = [&b"PK\x03\x04"[..], &[0; 26], &end, &locator, &last].concat();
    assert!(list(&zip).unwrap_err().contains("longer than any cache needs"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, magic in 0_usize..4) {
        let magic: &[u8] = [&b"PK\x03\x04"[..], b"PK\x05\x06", &[0x28, 0xb5, 0x2f, 0xfd], b""][magic];
        let _ = list(&[magic, &bytes].concat());
    }

    #[test]
    fn changed_bytes_never_bring_in_other_data_unnoticed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        for mut bytes in [zip(), tar()] {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if is_cut {
                let length = cut.index(bytes.len());
                bytes.truncate(length);
            }
            for (name, _, _, content) in list(&bytes).unwrap_or_default() {
                prop_assert!(!name.starts_with('/') && !name.split('/').any(|part| part == ".."));
                prop_assert!(content.len() <= 1000);
            }
        }
    }

    #[test]
    fn no_tar_inside_a_right_frame_makes_it_panic(
        changes in prop::collection::vec((0_usize..5000, any::<u8>()), 1..6)
    ) {
        let mut text = zstd::decode_all(&tar()[..]).unwrap();
        for (at, byte) in changes {
            let at = at % text.len();
            text[at] = byte;
            // A right checksum, so that the change is looked at.
            let block = at / 512 * 512;
            text[block + 148..block + 156].fill(b' ');
            let sum: u32 = text[block..block + 512].iter().map(|byte| u32::from(*byte)).sum();
            text[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = list(&zstd::encode_all(&text[..], 1).unwrap());
    }
}

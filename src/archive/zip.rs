//! Zip archives: all that the directory says is checked before the first byte of data is read.
//!
//! What is checked, and which trick it stops:
//!
//! - each name, and the tree of all names, is safe (see [`EntryName`] and [`Tree`]);
//! - the header before the data says what the directory says: else two programs unpack two different trees;
//! - no two entries share data: else a small archive becomes petabytes without any high ratio;
//! - sizes are within the bounds of [`Limits`], and reading keeps each entry to its stated size and checksum.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::entry::{EntryData, Tree};
use super::error::{Fault, Problem};
use super::zip_records::{self as records, Central, Common, End};
use super::{Entry, EntryKind, EntryName, Limits};

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const ZSTD: u16 = 93;

const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;
const TYPE_LINK: u32 = 0o120_000;

/// An entry and where its data is.
struct Located {
    entry: Entry,
    /// The name as it is in the archive, with the `/` of a folder.
    raw_name: Vec<u8>,
    central: Central,
    data: u64,
}

/// Look at every entry, in the order of their data.
pub(super) fn read<R: Read + Seek>(
    source: &mut R,
    limits: &Limits,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Problem>,
) -> Result<(), Fault> {
    let length = source.seek(SeekFrom::End(0))?;
    let Some(end) = find_end(source, length)? else {
        return Err(Fault { entry: last_entry(source, length), problem: Problem::Truncated });
    };
    let mut entries = directory(source, end, limits)?;
    // Each entry may be a small text that shrinks well; half a million of them may not.
    let unpacked = entries.iter().fold(0, |sum: u64, located| sum.saturating_add(located.entry.bytes));
    if !limits.allow(unpacked, length) {
        return Err(Fault::whole(Problem::Bomb { archived: length, limit: limits.most_from(length) }));
    }
    entries.sort_by_key(|located| located.central.offset);
    check_headers(source, &mut entries, end.offset)?;
    for Located { entry, central, data, .. } in entries {
        let fault = |problem: Problem| Fault::of(entry.name.as_str(), problem);
        source.seek(SeekFrom::Start(data)).map_err(|error| fault(error.into()))?;
        let archived = BufReader::with_capacity(128 << 10, source.by_ref().take(central.common.archived));
        let unpacked: Box<dyn Read + '_> = match central.common.method {
            STORED => Box::new(archived),
            DEFLATED => Box::new(flate2::bufread::DeflateDecoder::new(archived)),
            _ => Box::new(super::zstd_decoder(archived, limits).map_err(|error| fault(error.into()))?),
        };
        let mut data = EntryData::new(unpacked, entry.bytes, Some(central.common.crc));
        visit(&entry, &mut data).and_then(|()| Ok(data.drain()?)).map_err(fault)?;
    }
    Ok(())
}

/// The record at the very end, which must be there, or else the archive was cut off.
fn find_end<R: Read + Seek>(source: &mut R, length: u64) -> Result<Option<End>, Fault> {
    // The longest comment that may follow, and what zip64 puts before.
    let tail = length.min((records::END_BYTES + usize::from(u16::MAX) + records::LOCATOR64_BYTES) as u64);
    let start = length - tail;
    let bytes = read_at(source, start, usize::try_from(tail).unwrap_or(0))?;
    let candidates = (0..=bytes.len().saturating_sub(records::END_BYTES)).rev();
    let found = candidates.into_iter().find_map(|at| Some((at, records::end(bytes.get(at..)?)?)));
    let Some((at, end)) = found else { return Ok(None) };
    let locator = at.checked_sub(records::LOCATOR64_BYTES).and_then(|at| records::locator64(&bytes[at..]));
    let malformed = |what| Fault::whole(Problem::Malformed(what));
    let (end, directory_end) = match locator {
        Some(offset) => {
            let room = (start + at as u64).checked_sub((records::END64_BYTES + records::LOCATOR64_BYTES) as u64);
            if room.is_none_or(|room| offset > room) {
                return Err(malformed("the end of its directory lies outside of it"));
            }
            let end = records::end64(&read_at(source, offset, records::END64_BYTES)?);
            (end.ok_or_else(|| malformed("the end of its directory is none"))?, offset)
        }
        None if end.is_elsewhere() => return Err(malformed("the end of its directory is missing")),
        None => (end, start + at as u64),
    };
    match end.offset.checked_add(end.bytes) {
        Some(sum) if sum == directory_end => Ok(Some(end)),
        _ => Err(malformed("its directory is not where its end says")),
    }
}

/// Every entry of the directory, checked for all that it says by itself.
fn directory<R: Read + Seek>(source: &mut R, end: End, limits: &Limits) -> Result<Vec<Located>, Fault> {
    if end.entries > limits.entries {
        return Err(Fault::whole(Problem::TooManyEntries { limit: limits.entries }));
    }
    source.seek(SeekFrom::Start(end.offset))?;
    let mut reader = BufReader::new(source.take(end.bytes));
    let mut tree = Tree::default();
    // Not allocated in one piece: the number of entries is only stated.
    let mut entries: Vec<Located> = Vec::new();
    for _ in 0..end.entries {
        let mut read = |length: usize| -> Result<Vec<u8>, Fault> {
            let mut bytes = vec![0; length];
            match reader.read_exact(&mut bytes) {
                Ok(()) => Ok(bytes),
                Err(_) => Err(Fault::whole(Problem::Malformed("its directory is shorter than its end says"))),
            }
        };
        let mut central = records::central(&read(records::CENTRAL_BYTES)?)
            .ok_or_else(|| Fault::whole(Problem::Malformed("its directory holds something else than entries")))?;
        let raw_name = read(central.common.name_bytes)?;
        let extra = read(central.common.extra_bytes)?;
        read(central.comment_bytes)?;
        let shown = String::from_utf8_lossy(&raw_name).into_owned();
        let fault = |problem: Problem| Fault::of(&shown, problem);
        records::extend_central(&mut central, &extra).map_err(fault)?;
        let entry = entry(&raw_name, &central, limits).map_err(fault)?;
        tree.add(&entry.name, entry.kind, limits)?;
        entries.push(Located { entry, raw_name, central, data: 0 });
    }
    let mut rest = [0];
    if reader.read(&mut rest)? > 0 {
        return Err(Fault::whole(Problem::Malformed("its directory holds more entries than its end says")));
    }
    Ok(entries)
}

/// What the directory says of an entry, if it is harmless.
fn entry(raw_name: &[u8], central: &Central, limits: &Limits) -> Result<Entry, Problem> {
    let (name, slash) = match raw_name.strip_suffix(b"/") {
        Some(name) => (name, true),
        None => (raw_name, false),
    };
    // A lone `/` is the root, not a name without letters.
    let name = EntryName::parse(if name.is_empty() { raw_name } else { name }, limits.name_bytes)?;
    let kind = match (central.mode & TYPE_MASK, slash) {
        (TYPE_LINK, _) => return Err(Problem::Link),
        (0, false) if central.dos_folder => return Err(Problem::Malformed("a folder has a name without `/`")),
        (TYPE_FILE | 0, false) => EntryKind::File,
        (TYPE_FOLDER | 0, true) => EntryKind::Folder,
        (TYPE_FILE | TYPE_FOLDER, _) => return Err(Problem::Malformed("its name and its mode disagree on what it is")),
        _ => return Err(Problem::Special),
    };
    let Common { method, archived, unpacked, .. } = central.common;
    if central.common.is_encrypted() {
        return Err(Problem::Encrypted);
    }
    match method {
        STORED if archived != unpacked => return Err(Problem::Malformed("a stored entry has two sizes")),
        STORED | DEFLATED | ZSTD => {}
        _ => return Err(Problem::Method(method)),
    }
    if kind == EntryKind::Folder && unpacked > 0 {
        return Err(Problem::Malformed("a folder has data"));
    }
    if !limits.allow(unpacked, archived) {
        return Err(Problem::Bomb { archived, limit: limits.most_from(archived) });
    }
    Ok(Entry { name, kind, bytes: unpacked, modified: central.modified })
}

/// Compare the header before each entry's data with the directory, and find the data.
fn check_headers<R: Read + Seek>(source: &mut R, entries: &mut [Located], directory: u64) -> Result<(), Fault> {
    let mut next = directory;
    for located in entries.iter_mut().rev() {
        let fault = |problem: Problem| Fault::of(located.entry.name.as_str(), problem);
        let offset = located.central.offset;
        let room = next.checked_sub(offset).ok_or_else(|| fault(Problem::Overlap))?;
        if room < records::LOCAL_BYTES as u64 {
            return Err(fault(Problem::Overlap));
        }
        let header = read_at(source, offset, records::LOCAL_BYTES).map_err(|error| fault(error.into()))?;
        let mut local =
            records::local(&header).ok_or_else(|| fault(Problem::Malformed("there is no header before its data")))?;
        let (name_bytes, extra_bytes) = (local.name_bytes, local.extra_bytes);
        let names = read_at(source, offset + records::LOCAL_BYTES as u64, name_bytes + extra_bytes);
        let names = names.map_err(|error| fault(error.into()))?;
        let (name, extra) = names.split_at(name_bytes);
        records::extend_local(&mut local, extra).map_err(fault)?;
        let central = &located.central.common;
        // Where a descriptor follows the data, the header may leave the numbers open, with zeros.
        let agrees = |ours: u64, theirs: u64| ours == theirs || (local.has_descriptor() && ours == 0);
        let disagreement = if name != located.raw_name {
            Some("name")
        } else if local.method != central.method {
            Some("method")
        } else if local.is_encrypted() {
            Some("encryption")
        } else if !agrees(local.unpacked, central.unpacked) || !agrees(local.archived, central.archived) {
            Some("size")
        } else if !agrees(u64::from(local.crc), u64::from(central.crc)) {
            Some("checksum")
        } else {
            None
        };
        if let Some(what) = disagreement {
            return Err(fault(Problem::Disagreement(what)));
        }
        let data = offset + (records::LOCAL_BYTES + name_bytes + extra_bytes) as u64;
        if data.checked_add(central.archived).is_none_or(|end| end > next) {
            return Err(fault(Problem::Overlap));
        }
        located.data = data;
        next = offset;
    }
    Ok(())
}

/// The last entry that an archive without its end has a header of.
fn last_entry<R: Read + Seek>(source: &mut R, length: u64) -> Option<String> {
    let mut at = 0;
    let mut last = None;
    while at < length {
        let Some(mut local) = read_at(source, at, records::LOCAL_BYTES).ok().and_then(|header| records::local(&header))
        else {
            break;
        };
        let names = read_at(source, at + records::LOCAL_BYTES as u64, local.name_bytes + local.extra_bytes).ok();
        let Some(names) = names else { break };
        let (name, extra) = names.split_at(local.name_bytes);
        last = Fault::of(&String::from_utf8_lossy(name), Problem::Truncated).entry;
        if records::extend_local(&mut local, extra).is_err() || (local.has_descriptor() && local.archived == 0) {
            break;
        }
        let data = at + (records::LOCAL_BYTES + names.len()) as u64;
        at = data.saturating_add(local.archived);
    }
    last
}

fn read_at<R: Read + Seek>(source: &mut R, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

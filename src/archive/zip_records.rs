//! The records of a zip archive, as bytes say them: nothing is believed here.
//!
//! PKWARE's APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (end). The `zip` crate keeps
//! one of two entries with the same name and never looks whether headers agree, so the reading is done here.

use super::error::Problem;
use super::fields::Fields;

pub(super) const LOCAL: u32 = 0x0403_4b50;
pub(super) const CENTRAL: u32 = 0x0201_4b50;
pub(super) const END: u32 = 0x0605_4b50;
pub(super) const END64: u32 = 0x0606_4b50;
pub(super) const LOCATOR64: u32 = 0x0706_4b50;

pub(super) const LOCAL_BYTES: usize = 30;
pub(super) const CENTRAL_BYTES: usize = 46;
pub(super) const END_BYTES: usize = 22;
pub(super) const END64_BYTES: usize = 56;
pub(super) const LOCATOR64_BYTES: usize = 20;

/// Flag: sizes and checksum follow the data.
pub(super) const HAS_DESCRIPTOR: u16 = 1 << 3;
/// Flags that say nothing of encryption or patches: levels of deflate, the descriptor, UTF-8.
const HARMLESS: u16 = 0b110 | HAS_DESCRIPTOR | 1 << 11;

const ZIP64: u16 = 0x0001;
const TIMES: u16 = 0x5455;
/// Instead of a size or an offset that has no room: it is in the extra field for zip64.
const ELSEWHERE: u32 = u32::MAX;

/// What a header and the directory both say of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub archived: u64,
    pub unpacked: u64,
    pub name_bytes: usize,
    pub extra_bytes: usize,
    dos: (u16, u16),
}

/// An entry of the directory, without its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Central {
    pub common: Common,
    pub comment_bytes: usize,
    /// The Unix mode, or 0 where another system wrote the archive.
    pub mode: u32,
    pub dos_folder: bool,
    pub offset: u64,
    pub modified: Option<i64>,
}

/// The end of the directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub entries: u64,
    pub bytes: u64,
    pub offset: u64,
}

impl Common {
    /// From the flags on.
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (flags, method) = (fields.u16()?, fields.u16()?);
        let (time, date) = (fields.u16()?, fields.u16()?);
        let crc = fields.u32()?;
        let (archived, unpacked) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
        let (name_bytes, extra_bytes) = (usize::from(fields.u16()?), usize::from(fields.u16()?));
        Some(Self { flags, method, crc, archived, unpacked, name_bytes, extra_bytes, dos: (date, time) })
    }

    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & HAS_DESCRIPTOR != 0
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & !HARMLESS != 0
    }
}

/// A local header. `None` where the bytes are no such header.
pub(super) fn local(bytes: &[u8]) -> Option<Common> {
    let mut fields = Fields(bytes);
    (fields.u32()? == LOCAL).then_some(())?;
    let _version = fields.u16()?;
    Common::read(&mut fields)
}

/// An entry of the directory. `None` where the bytes are no such entry.
pub(super) fn central(bytes: &[u8]) -> Option<Central> {
    let mut fields = Fields(bytes);
    (fields.u32()? == CENTRAL).then_some(())?;
    let (_made_by, _needed) = (fields.u16()?, fields.u16()?);
    let common = Common::read(&mut fields)?;
    let comment_bytes = usize::from(fields.u16()?);
    let (_disk, _internal) = (fields.u16()?, fields.u16()?);
    let attributes = fields.u32()?;
    let offset = u64::from(fields.u32()?);
    let modified = dos_time(common.dos);
    Some(Central {
        common,
        comment_bytes,
        mode: attributes >> 16,
        dos_folder: attributes & 0x10 != 0,
        offset,
        modified,
    })
}

/// Add what the extra fields say: sizes beyond 4 GiB, the time in seconds.
pub(super) fn extend_central(central: &mut Central, extra: &[u8]) -> Result<(), Problem> {
    for_each_extra(extra, |id, mut data| {
        match id {
            ZIP64 => {
                extend_sizes(&mut central.common, &mut data)?;
                if central.offset == u64::from(ELSEWHERE) {
                    central.offset = data.u64()?;
                }
            }
            TIMES if data.0.first().is_some_and(|flags| flags & 1 != 0) => {
                data.take(1)?;
                central.modified = Some(i64::from(data.u32()?));
            }
            _ => {}
        }
        Some(())
    })
}

/// Add what the extra fields of a local header say.
pub(super) fn extend_local(common: &mut Common, extra: &[u8]) -> Result<(), Problem> {
    for_each_extra(extra, |id, mut data| if id == ZIP64 { extend_sizes(common, &mut data) } else { Some(()) })
}

fn extend_sizes(common: &mut Common, data: &mut Fields<'_>) -> Option<()> {
    for size in [&mut common.unpacked, &mut common.archived] {
        if *size == u64::from(ELSEWHERE) {
            *size = data.u64()?;
        }
    }
    Some(())
}

fn for_each_extra(extra: &[u8], mut take: impl FnMut(u16, Fields<'_>) -> Option<()>) -> Result<(), Problem> {
    let mut fields = Fields(extra);
    let mut all = || -> Option<()> {
        // Some programs align data with a few zero bytes.
        while fields.0.len() >= 4 {
            let (id, length) = (fields.u16()?, usize::from(fields.u16()?));
            take(id, Fields(fields.take(length)?))?;
        }
        fields.0.iter().all(|byte| *byte == 0).then_some(())
    };
    all().ok_or(Problem::Malformed("an extra field is longer than the room for it"))
}

/// The last record. `None` where the bytes are no such record, or where it does not end with them.
pub(super) fn end(bytes: &[u8]) -> Option<End> {
    let mut fields = Fields(bytes);
    (fields.u32()? == END).then_some(())?;
    let (disk, directory_disk, here) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let entries = fields.u16()?;
    let (bytes, offset) = (fields.u32()?, fields.u32()?);
    let comment = usize::from(fields.u16()?);
    let one_file = disk == directory_disk && (disk == 0 || disk == u16::MAX) && here == entries;
    let end = End { entries: u64::from(entries), bytes: u64::from(bytes), offset: u64::from(offset) };
    (one_file && comment == fields.0.len()).then_some(end)
}

impl End {
    /// Whether some number has no room, so that the record for zip64 must be there.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.entries == u64::from(u16::MAX) || self.bytes == u64::from(ELSEWHERE) || self.offset == u64::from(ELSEWHERE)
    }
}

/// Where the locator says that the end for zip64 is.
pub(super) fn locator64(bytes: &[u8]) -> Option<u64> {
    let mut fields = Fields(bytes);
    (fields.u32()? == LOCATOR64 && fields.u32()? == 0).then_some(())?;
    fields.u64()
}

/// The end of the directory for zip64.
pub(super) fn end64(bytes: &[u8]) -> Option<End> {
    let mut fields = Fields(bytes);
    (fields.u32()? == END64).then_some(())?;
    let (_size, _versions) = (fields.u64()?, fields.u32()?);
    let (disk, directory_disk) = (fields.u32()?, fields.u32()?);
    let (here, entries) = (fields.u64()?, fields.u64()?);
    let (bytes, offset) = (fields.u64()?, fields.u64()?);
    (disk == 0 && directory_disk == 0 && here == entries).then_some(End { entries, bytes, offset })
}

/// The time of MS-DOS, in steps of two seconds. Its zone is unknown: taken for UTC, as Go does.
fn dos_time((date, time): (u16, u16)) -> Option<i64> {
    let part = |value: u16, shift: u16, bits: u16| i8::try_from(value >> shift & ((1 << bits) - 1)).ok();
    let year = 1980 + i16::try_from(date >> 9).ok()?;
    let date = jiff::civil::Date::new(year, part(date, 5, 4)?, part(date, 0, 5)?).ok()?;
    let time = jiff::civil::Time::new(part(time, 11, 5)?, part(time, 5, 6)?, part(time, 0, 5)? * 2, 0).ok()?;
    Some(jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(time)).ok()?.as_second())
}

//! From an image file to the numbers VGG16 was trained on: shorter side to 256 (bilinear, antialiased), the middle 224
//! squared, scaled and normalised with `ImageNet`'s statistics, as `torchvision.transforms` does it with Pillow.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Side of the square the network sees.
pub const SIDE: usize = 224;

/// Length of the shorter side before the middle is cut out.
const SHORTER: u32 = 256;

/// The most pixels of an image that is decoded at all: 536 megapixels, 1.6 GB as RGB.
const MOST_PIXELS: u64 = 1 << 29;

/// Images of more pixels than this are decoded one at a time, so that memory does not grow with the threads.
const LARGE_PIXELS: u64 = 1 << 24;

/// The longest side, in shorter sides, that is resized whole; of longer strips only the middle is.
const LONGEST_STRIP: u32 = 16;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

static LARGE: Mutex<()> = Mutex::new(());

/// Why an image gives no vector; it is counted and the run goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PixelError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The file is damaged or of a format that is not read.
    #[error("cannot be decoded: {0}")]
    Decode(#[from] image::ImageError),
    /// The file is a JPEG without its end; what is missing would be grey.
    #[error("is cut off: it has no end-of-image marker")]
    CutOff,
    /// The image has no pixels.
    #[error("{width} × {height} pixels: there is nothing in it")]
    Empty {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The image has more pixels than anyone needs.
    #[error("{width} × {height} pixels are more than the {MOST_PIXELS} that are decoded")]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The image cannot be resized.
    #[error("cannot be resized: {0}")]
    Resize(String),
}

/// Reads an image: `3 · 224 · 224` floats, channel by channel. Of an animation the first frame is taken, transparency is
/// dropped, grey, palette and CMYK become RGB.
///
/// # Errors
/// If the file is damaged, of an unknown format, empty, or far too large.
pub fn read(path: &Path) -> Result<Vec<f32>, PixelError> {
    let file = BufReader::new(File::open(path)?);
    let reader = ImageReader::new(file).with_guessed_format()?;
    // The other decoders refuse a file without its end themselves.
    if reader.format() == Some(ImageFormat::Jpeg) && !is_whole(&std::fs::read(path)?) {
        return Err(PixelError::CutOff);
    }
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let pixels = pixels(width, height)?;
    let _one_at_a_time = (pixels > LARGE_PIXELS).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
    let mut limits = Limits::no_limits();
    // 16-bit RGBA is the widest pixel there is; decoders need about as much again.
    limits.max_alloc = Some((pixels * 16).max(64 << 20));
    decoder.set_limits(limits)?;
    let image = DynamicImage::from_decoder(decoder)?.into_rgb8();
    Ok(normalised(&middle(width, height, image.into_raw())?))
}

/// Whether a JPEG goes on to its end-of-image marker. A segment may hold another image, a preview for instance, with an
/// end of its own, so segments are passed over by their length.
fn is_whole(jpeg: &[u8]) -> bool {
    // What stands among the compressed pixels, and has no length: fills, quoted 0xff, restarts, starts.
    let stands = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xff | 0xd0..=0xd8);
    let mut rest = jpeg;
    while let Some(at) = rest.windows(2).position(stands) {
        if rest[at + 1] == 0xd9 {
            return true;
        }
        let [high, low] = [at + 2, at + 3].map(|place| rest.get(place).copied().unwrap_or_default());
        let segment = usize::from(u16::from_be_bytes([high, low]));
        rest = rest.get(at + 2 + segment..).unwrap_or_default();
    }
    false
}

/// How many pixels there are, of an image that is decoded.
fn pixels(width: u32, height: u32) -> Result<u64, PixelError> {
    match u64::from(width) * u64::from(height) {
        0 => Err(PixelError::Empty { width, height }),
        pixels if pixels > MOST_PIXELS => Err(PixelError::TooLarge { width, height }),
        pixels => Ok(pixels),
    }
}

/// The middle 224 × 224 RGB pixels of an image whose shorter side is brought to 256.
fn middle(width: u32, height: u32, rgb: Vec<u8>) -> Result<Vec<u8>, PixelError> {
    let failed = |error: &dyn std::fmt::Display| PixelError::Resize(error.to_string());
    let source = Image::from_vec_u8(width, height, rgb, PixelType::U8x3).map_err(|error| failed(&error))?;
    let (part_width, part_height) = strip(width, height);
    let (to_width, to_height) = target(part_width, part_height);
    let mut resized = Image::new(to_width, to_height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        f64::from((width - part_width) / 2),
        f64::from((height - part_height) / 2),
        f64::from(part_width),
        f64::from(part_height),
    );
    Resizer::new().resize(&source, &mut resized, &options).map_err(|error| failed(&error))?;
    Ok(cut(resized.buffer(), to_width as usize, to_height as usize))
}

/// The size of the part that is resized.
fn strip(width: u32, height: u32) -> (u32, u32) {
    let longest = |short: u32| short.saturating_mul(LONGEST_STRIP);
    (width.min(longest(height)), height.min(longest(width)))
}

/// The size with a shorter side of 256; the longer one is rounded down, as torchvision does.
fn target(width: u32, height: u32) -> (u32, u32) {
    let longer = |long: u32, short: u32| (u64::from(SHORTER) * u64::from(long) / u64::from(short)) as u32;
    if width <= height { (SHORTER, longer(height, width)) } else { (longer(width, height), SHORTER) }
}

/// Where the middle begins; Python rounds halves to the even number.
fn margin(length: usize) -> usize {
    ((length - SIDE) as f64 / 2.0).round_ties_even() as usize
}

fn cut(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    let (left, top) = (margin(width), margin(height));
    let rows = (top..top + SIDE).map(|row| (row * width + left) * 3);
    rows.flat_map(|start| rgb[start..start + SIDE * 3].iter().copied()).collect()
}

/// RGB pixels, row by row, as the network takes them: channel by channel, `(value / 255 − mean) / deviation`.
pub fn normalised(rgb: &[u8]) -> Vec<f32> {
    let mut floats = Vec::with_capacity(rgb.len());
    for channel in 0..3 {
        let (mean, deviation) = (MEAN[channel], DEVIATION[channel]);
        let values = rgb[channel..].iter().step_by(3);
        floats.extend(values.map(|value| (f32::from(*value) / 255.0 - mean) / deviation));
    }
    floats
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tch::Tensor;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vision").join(name)
    }

    /// The largest difference to Pillow's pixels, in levels of 255.
    fn difference(floats: &[f32], pil: &str) -> f32 {
        let expected = normalised(image::open(fixture(pil)).unwrap().to_rgb8().as_raw());
        assert_eq!(floats.len(), expected.len());
        let levels = floats
            .iter()
            .zip(&expected)
            .enumerate()
            .map(|(at, (found, expected))| (found - expected).abs() * DEVIATION[at / (SIDE * SIDE)] * 255.0);
        levels.fold(0.0, f32::max)
    }

    #[test]
    fn of_the_longest_strip_there_can_be_the_middle_is_taken() {
        assert_eq!((strip(1 << 29, 1), strip(1, 1 << 29), strip(300, 200)), ((16, 1), (1, 16), (300, 200)));
    }

    #[test]
    fn a_png_comes_out_within_one_level_of_pillow() {
        let found = read(&fixture("picture.png")).unwrap();
        let levels = difference(&found, "crop_pil.png");
        assert!(levels <= 1.01, "{levels} levels");
    }

    /// The largest and the mean difference to what Pillow makes of the same file, at every eighth pixel.
    fn differences(name: &str, pillow: &Tensor) -> (f32, f32) {
        let pixels = read(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = Vec::<u8>::try_from(pillow.flatten(0, -1)).unwrap();
        let places = (0..SIDE).step_by(8).flat_map(|row| (0..SIDE).step_by(8).map(move |column| row * SIDE + column));
        let found = places.flat_map(|place| (0..3).map(move |channel| (channel, channel * SIDE * SIDE + place)));
        let levels: Vec<f32> = found
            .zip(expected)
            .map(|((channel, at), level)| {
                ((pixels[at] * DEVIATION[channel] + MEAN[channel]) * 255.0 - f32::from(level)).abs()
            })
            .collect();
        assert_eq!(levels.len(), 28 * 28 * 3, "{name}");
        (levels.iter().copied().fold(0.0, f32::max), levels.iter().sum::<f32>() / levels.len() as f32)
    }

    #[test]
    fn every_kind_of_image_comes_out_as_pillow_has_it() {
        let pillow = Tensor::read_safetensors(fixture("decoded.safetensors")).unwrap();
        assert_eq!(pillow.len(), 10);
        for (name, expected) in &pillow {
            // JPEG's decoders may round differently; Pillow's inverse transform is not the one here.
            let lossy = matches!(name.rsplit_once('.'), Some((_, "jpg")));
            let (most, mean) = if lossy { (8.0, 1.0) } else { (1.01, 0.3) };
            let (largest, average) = differences(name, expected);
            assert!(largest <= most && average <= mean, "{name}: {largest} levels at most, {average} on average");
        }
    }

    #[test]
    fn formats_are_told_by_their_content() {
        let (folder, png) = (tempfile::tempdir().unwrap(), image::open(fixture("picture.png")).unwrap());
        // A JPEG under another name, as downloads often are.
        std::fs::copy(fixture("picture.jpg"), folder.path().join("jpeg.png")).unwrap();
        let named_png = read(&folder.path().join("jpeg.png")).unwrap();
        assert_eq!(named_png, read(&fixture("picture.jpg")).unwrap());
        for name in ["picture.bmp", "picture.tif"] {
            png.save(folder.path().join(name)).unwrap();
            assert!(difference(&read(&folder.path().join(name)).unwrap(), "crop_pil.png") <= 1.01, "{name}");
        }
        let grey = read(&fixture("grey.png")).unwrap();
        let value = |channel: usize| grey[channel * SIDE * SIDE] * DEVIATION[channel] + MEAN[channel];
        assert!((value(0) - value(1)).abs() < 1e-5 && (value(0) - value(2)).abs() < 1e-5);
    }

    #[test]
    fn damaged_files_are_errors_at_every_length() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for name in ["picture.png", "picture.jpg", "cmyk.jpg", "picture.webp"] {
            let whole = std::fs::read(fixture(name)).unwrap();
            for length in (0..whole.len()).step_by(whole.len() / 40).chain([whole.len() * 9 / 10]) {
                std::fs::write(file.path(), &whole[..length]).unwrap();
                assert!(read(file.path()).is_err(), "{name} cut at {length} of {}", whole.len());
            }
        }
        assert!(matches!(read(Path::new("/no/such.png")), Err(PixelError::Read(_))));
        assert!(matches!(read(&fixture("make.py")), Err(PixelError::Decode(_))));
        assert!(matches!(middle(2, 2, vec![0; 11]), Err(PixelError::Resize(_))));
        assert!(matches!(pixels(0, 7), Err(PixelError::Empty { width: 0, height: 7 })));
    }

    #[test]
    fn a_jpeg_is_whole_with_its_own_end_marker_and_not_with_that_of_its_preview() {
        let picture = std::fs::read(fixture("picture.jpg")).unwrap();
        let preview = [0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        let with_preview = [&picture[..2], &preview, &picture[2..]].concat();
        let half = &with_preview[..with_preview.len() / 2];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), half).unwrap();
        assert!(matches!(read(file.path()), Err(PixelError::CutOff)));
        assert!(!is_whole(&with_preview[..with_preview.len() - 1]), "half of the marker");
        // What comes after the end, as some cameras write, is nobody's business.
        std::fs::write(file.path(), [&with_preview[..], b"more"].concat()).unwrap();
        assert_eq!(read(file.path()).unwrap(), read(&fixture("picture.jpg")).unwrap());
    }

    #[test]
    fn a_hundred_megapixels_are_read_and_a_bomb_is_not() {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        image::GrayImage::from_pixel(12_500, 8_000, image::Luma([200])).save(file.path()).unwrap();
        let found = read(file.path()).unwrap();
        let expected = (200.0 / 255.0 - MEAN[0]) / DEVIATION[0];
        assert!((found[0] - expected).abs() < 1e-5);
        // The header of a PNG of 60,000 × 60,000 pixels.
        let mut bomb = std::fs::read(file.path()).unwrap();
        bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        bomb.splice(29..33, crc(&bomb[12..29]).to_be_bytes());
        std::fs::write(file.path(), &bomb).unwrap();
        assert!(matches!(read(file.path()), Err(PixelError::TooLarge { width: 60_000, height: 60_000 })));
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }

    #[test]
    fn strips_and_single_pixels_are_read() {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        for (width, height) in [(1, 1), (1, 5000), (5000, 1), (224, 224), (3, 2)] {
            image::RgbImage::from_pixel(width, height, image::Rgb([255, 0, 0])).save(file.path()).unwrap();
            assert_eq!(read(file.path()).unwrap().len(), 3 * SIDE * SIDE, "{width} × {height}");
        }
    }

    #[test]
    fn sizes_and_margins_are_those_of_torchvision() {
        assert_eq!([target(500, 333), target(333, 500), target(256, 256)], [(384, 256), (256, 384), (256, 256)]);
        assert_eq!([margin(256), margin(225), margin(227), margin(224)], [16, 0, 2, 0]);
    }
}

//! Detached CMS `SignedData` with one signer (RFC 5652): written from prepared parts, read leniently.
//!
//! Writing: everything but the signed attributes and the signature is fixed per certificate, so [`Template`] holds it as
//! finished DER. Reading: Apple's own tools write indefinite lengths, others sign with SHA-1; both are understood.

use aws_lc_rs::digest;

use crate::asn1::{self, BIT_STRING, CONTEXT_0, INTEGER, Malformed, NULL, OCTET_STRING, OID, Reader, SEQUENCE, SET, Tlv};
use crate::signer::SignatureScheme;
use crate::x509::{Certificate, Hash};

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05];
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const SUBJECT_KEY_ID_TAG: u8 = 0x80;

/// Most certificates and signers that are looked at in a signature.
const MAX_CERTIFICATES: usize = 16;

/// The fixed parts of a signature by one certificate.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// Version, digest algorithms, encapsulated content type, certificates.
    before: Vec<u8>,
    /// Signer's version, issuer and serial, digest algorithm.
    signer: Vec<u8>,
    signature_algorithm: Vec<u8>,
}

impl Template {
    pub(crate) fn new(leaf: &Certificate, intermediate: &Certificate, scheme: SignatureScheme) -> Self {
        let sha256 = algorithm(SHA256, &[]);
        let signature_algorithm = match scheme {
            SignatureScheme::RsaPkcs1Sha256 => algorithm(RSA_ENCRYPTION, &[NULL, 0]),
            SignatureScheme::EcdsaP256Sha256 => algorithm(ECDSA_SHA256, &[]),
        };
        let version = asn1::tlv(INTEGER, &[&[1]]);
        let content = asn1::tlv(SEQUENCE, &[&asn1::tlv(OID, &[DATA])]);
        let certificates = asn1::tlv(CONTEXT_0, &[leaf.der(), intermediate.der()]);
        let who = asn1::tlv(SEQUENCE, &[leaf.raw_issuer(), leaf.raw_serial()]);
        Self {
            before: [version.as_slice(), &asn1::tlv(SET, &[&sha256]), &content, &certificates].concat(),
            signer: [version.as_slice(), &who, &sha256].concat(),
            signature_algorithm,
        }
    }

    /// The whole `ContentInfo` around signed attributes (as [`signed_attributes`] gives them) and their signature.
    pub(crate) fn assemble(&self, attributes: &[u8], signature: &[u8]) -> Vec<u8> {
        let with_header = |content: usize| asn1::header_len(content) + content;
        let signer_info = self.signer.len() + attributes.len() + self.signature_algorithm.len() + with_header(signature.len());
        let signer_infos = with_header(signer_info);
        let signed_data = self.before.len() + with_header(signer_infos);
        let explicit = with_header(signed_data);
        let content_info = 2 + SIGNED_DATA.len() + with_header(explicit);

        let mut out = Vec::with_capacity(with_header(content_info));
        asn1::push_header(&mut out, SEQUENCE, content_info);
        asn1::push_header(&mut out, OID, SIGNED_DATA.len());
        out.extend_from_slice(SIGNED_DATA);
        asn1::push_header(&mut out, CONTEXT_0, explicit);
        asn1::push_header(&mut out, SEQUENCE, signed_data);
        out.extend_from_slice(&self.before);
        asn1::push_header(&mut out, SET, signer_infos);
        asn1::push_header(&mut out, SEQUENCE, signer_info);
        out.extend_from_slice(&self.signer);
        let attributes_at = out.len();
        out.extend_from_slice(attributes);
        out[attributes_at] = CONTEXT_0; // signed as a SET, sent under an implicit tag (RFC 5652, 5.4)
        out.extend_from_slice(&self.signature_algorithm);
        asn1::push_header(&mut out, OCTET_STRING, signature.len());
        out.extend_from_slice(signature);
        out
    }
}

fn algorithm(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    asn1::tlv(SEQUENCE, &[&asn1::tlv(OID, &[oid]), parameters])
}

/// The attributes that are signed: content type, signing time, SHA-256 of the content. In DER order, as the SET to sign.
pub(crate) fn signed_attributes(content: &[u8], signing_time: i64) -> Result<Vec<u8>, Malformed> {
    let attribute = |oid: &[u8], value: &[u8]| asn1::tlv(SEQUENCE, &[&asn1::tlv(OID, &[oid]), &asn1::tlv(SET, &[value])]);
    let hash = digest::digest(&digest::SHA256, content);
    Ok(asn1::tlv(
        SET,
        &[
            &attribute(CONTENT_TYPE, &asn1::tlv(OID, &[DATA])),
            &attribute(SIGNING_TIME, &asn1::time(signing_time)?),
            &attribute(MESSAGE_DIGEST, &asn1::tlv(OCTET_STRING, &[hash.as_ref()])),
        ],
    ))
}

/// What a detached signature says, before anything is checked.
#[derive(Debug)]
pub(crate) struct SignedData {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) signer: Signer,
}

/// The one signer.
#[derive(Debug)]
pub(crate) struct Signer {
    /// Issuer and serial as raw DER, or a subject key id.
    id: SignerId,
    pub(crate) hash: Hash,
    signature: Vec<u8>,
    /// The attributes retagged as the SET that was signed; absent when the content was signed directly.
    attributes: Option<Vec<u8>>,
    pub(crate) content_type_is_data: bool,
    message_digest: Option<Vec<u8>>,
    pub(crate) signing_time: Option<i64>,
}

#[derive(Debug)]
enum SignerId {
    IssuerAndSerial(Vec<u8>),
    SubjectKeyId,
}

impl SignedData {
    /// Reads a `ContentInfo` with `SignedData` inside.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut info = Reader::new(bytes).expect(SEQUENCE)?.inside();
        if info.expect(OID)?.value != SIGNED_DATA {
            return Err(Malformed);
        }
        let mut data = info.expect(CONTEXT_0)?.inside().expect(SEQUENCE)?.inside();
        data.expect(INTEGER)?;
        data.expect(SET)?;
        data.expect(SEQUENCE)?;
        let mut certificates = Vec::new();
        if let Some(set) = data.optional(CONTEXT_0)? {
            let mut items = set.inside();
            while !items.is_empty() && certificates.len() < MAX_CERTIFICATES {
                let item = items.next()?;
                if item.tag == SEQUENCE {
                    certificates.push(Certificate::from_der(item.raw).map_err(|_| Malformed)?);
                }
            }
        }
        data.optional(0xa1)?; // revocation lists
        let mut signers = data.expect(SET)?.inside();
        let signer = Signer::parse(&signers.expect(SEQUENCE)?)?;
        if !signers.is_empty() {
            return Err(Malformed); // a pass has one signer
        }
        Ok(Self { certificates, signer })
    }

    /// The embedded certificate that the signer names.
    pub(crate) fn leaf(&self) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| match &self.signer.id {
            SignerId::IssuerAndSerial(id) => id.as_slice() == [certificate.raw_issuer(), certificate.raw_serial()].concat(),
            SignerId::SubjectKeyId => certificate.pass_type_identifier().is_some(),
        })
    }
}

impl Signer {
    fn parse(info: &Tlv<'_>) -> Result<Self, Malformed> {
        let mut fields = info.inside();
        fields.expect(INTEGER)?;
        let id = fields.next()?;
        let id = match id.tag {
            SEQUENCE => SignerId::IssuerAndSerial(id.value.to_vec()),
            SUBJECT_KEY_ID_TAG => SignerId::SubjectKeyId,
            _ => return Err(Malformed),
        };
        let hash = match fields.expect(SEQUENCE)?.inside().expect(OID)?.value {
            SHA1 => Hash::Sha1,
            SHA256 => Hash::Sha256,
            SHA384 => Hash::Sha384,
            SHA512 => Hash::Sha512,
            _ => return Err(Malformed),
        };
        let signed = fields.optional(CONTEXT_0)?;
        fields.expect(SEQUENCE)?;
        let signature = fields.next()?;
        if !matches!(signature.tag, OCTET_STRING | BIT_STRING) {
            return Err(Malformed);
        }
        let mut signer = Self {
            id,
            hash,
            signature: signature.value.to_vec(),
            attributes: None,
            content_type_is_data: false,
            message_digest: None,
            signing_time: None,
        };
        if let Some(signed) = signed {
            signer.read_attributes(&signed)?;
        }
        Ok(signer)
    }

    fn read_attributes(&mut self, signed: &Tlv<'_>) -> Result<(), Malformed> {
        let mut attributes = signed.inside();
        while !attributes.is_empty() {
            let mut attribute = attributes.expect(SEQUENCE)?.inside();
            let name = attribute.expect(OID)?.value;
            let mut values = attribute.expect(SET)?.inside();
            match name {
                CONTENT_TYPE => self.content_type_is_data = values.expect(OID)?.value == DATA,
                MESSAGE_DIGEST => self.message_digest = Some(values.expect(OCTET_STRING)?.value.to_vec()),
                SIGNING_TIME => self.signing_time = Some(asn1::read_time(&values.next()?)?),
                _ => {}
            }
        }
        self.attributes = Some(asn1::tlv(SET, &[signed.value]));
        Ok(())
    }

    /// True when the signed digest is the content's. Without signed attributes the signature covers the content itself.
    pub(crate) fn covers(&self, content: &[u8]) -> bool {
        let algorithm = match self.hash {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        match &self.message_digest {
            Some(digest) => digest.as_slice() == digest::digest(algorithm, content).as_ref(),
            None => self.attributes.is_none(),
        }
    }

    /// True when the signature is by this certificate's key.
    pub(crate) fn is_signed_by(&self, leaf: &Certificate, content: &[u8]) -> bool {
        let message = self.attributes.as_deref().unwrap_or(content);
        leaf.verify(self.hash, message, &self.signature).unwrap_or(false)
    }
}

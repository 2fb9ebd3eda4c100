/** Certificates for tests; the sample app makes its own the same way. */
export {
  type Certificate,
  type CertificateOptions,
  issue,
  makeCa,
  makeCrl,
  makeOcsp,
} from '../../scripts/certificates.ts';

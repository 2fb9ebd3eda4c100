/** Fields that belong to one HTTP/1 hop and must not be sent in HTTP/2 (RFC 9113 §8.2.2). */
export function isConnectionHeader(name: string): boolean {
  switch (name.length) {
    case 7:
      return name === 'upgrade';
    case 10:
      return name === 'connection' || name === 'keep-alive';
    case 16:
      return name === 'proxy-connection';
    case 17:
      return name === 'transfer-encoding';
    default:
      return false;
  }
}

import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { ConfigError } from '../../../src/core/errors.ts';
import { envoyRegistry, requireMessage } from '../../../src/proto/registry.ts';
import { readJsonResponse, readResponseFile } from '../../../src/xds/protocol/discovery-text.ts';
import { readAny } from '../../../src/xds/protocol/raw-resource.ts';
import {
  any,
  CLUSTER,
  ENDPOINTS,
  LISTENER,
  ROUTES,
  resource,
  urlOf,
  wrapped,
} from '../../support/xds-server.ts';

const RUNS = { numRuns: 400 };
const types = [CLUSTER, ENDPOINTS, LISTENER, ROUTES, 'envoy.service.discovery.v3.Resource'];

/** What is wrong is an Error with words for the server; anything else is a bug. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.constructor === Error && error.message !== '';
}

t.test('the name of a resource is what a decoder finds, for all types', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(CLUSTER, ENDPOINTS, LISTENER, ROUTES),
      fc.string(),
      fc.string(),
      (type, name, mark) => {
        const one = resource(type, name, mark);
        const plain = readAny(one, '7');
        const boxed = readAny(wrapped({ name: '', version: '8', resource: one }), '7');
        return (
          plain.name === name &&
          plain.raw?.version === '7' &&
          boxed.name === name &&
          boxed.raw?.version === '8' &&
          Buffer.from(one.value).equals(boxed.raw.bytes)
        );
      },
    ),
    RUNS,
  );
  t.pass();
});

t.test('bytes that are no resource are refused with words', async (t) => {
  let refused = 0;
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 64 }), (type, value) => {
      try {
        readAny({ typeUrl: urlOf(type), value }, '');
      } catch (error) {
        refused++;
        return isRefusal(error);
      }
      return true;
    }),
    RUNS,
  );
  t.ok(refused > 10);
});

t.test('a resource with a byte changed or cut off is read or refused', async (t) => {
  const whole = any(CLUSTER, {
    name: 'cluster',
    altStatName: 'x',
    observabilityName: 'seen',
  });
  fc.assert(
    fc.property(fc.nat(whole.value.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
      const value = cut ? whole.value.slice(0, at) : Uint8Array.from(whole.value);
      if (!cut) value[at] = byte;
      try {
        const { name } = readAny({ typeUrl: whole.typeUrl, value }, '');
        return typeof name === 'string';
      } catch (error) {
        return isRefusal(error);
      }
    }),
    RUNS,
  );
  t.pass();
});

t.test('bytes of a DiscoveryResponse: read as the library reads them, or a ConfigError', async (t) => {
  const desc = requireMessage(envoyRegistry(), 'envoy.service.discovery.v3.DiscoveryResponse');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      let expected = true;
      try {
        fromBinary(desc, bytes);
      } catch {
        expected = false;
      }
      try {
        readResponseFile(Buffer.from(bytes), 'x.pb');
        return expected;
      } catch (error) {
        return !expected && error instanceof ConfigError;
      }
    }),
    RUNS,
  );
  t.pass();
});

t.test('text that is no DiscoveryResponse is a ConfigError', async (t) => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({ resources: fc.array(fc.jsonValue()), version_info: fc.jsonValue() })
      .map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(text, (one) => {
      for (const read of [() => readJsonResponse(one), () => readResponseFile(Buffer.from(one), 'x.yaml')]) {
        try {
          read();
        } catch (error) {
          if (!(error instanceof ConfigError)) return false;
        }
      }
      return true;
    }),
    RUNS,
  );
  t.pass();
});

t.test('both ways of reading text find the same', async (t) => {
  const text = JSON.stringify({
    versionInfo: '3',
    nonce: 'n',
    resources: [{ '@type': urlOf(CLUSTER), name: 'ä', connectTimeout: '1.5s' }],
  });
  const json = readJsonResponse(text).response;
  const yaml = readResponseFile(Buffer.from(`# a comment\n${text}`), 'x.yaml').response;
  t.same(json, yaml);
  t.same(readJsonResponse(text.replace('"nonce"', '"noncense": 1, "nonce"')).unknownFields.length, 1);
});

import {
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

type Desc = DescMessage | DescEnum | DescExtension | DescService;

// google/protobuf/descriptor.proto
const FILE_NAME = 1;
const FILE_PACKAGE = 2;
const FILE_TYPES: readonly number[] = [4, 5, 6, 7]; // Messages, enums, services, extensions: each has its name in field 1.
const FILE_EXTENSION = 7;
const TYPE_NAME = 1;

/**
 * The types of a serialized FileDescriptorSet, of which a file is decoded when a type of it is asked for, with all that it
 * imports. A configuration takes a fifth to a third of Envoy's 393 files: the rest costs neither time nor memory.
 */
export class LazyRegistry implements FileRegistry {
  readonly kind = 'registry';
  /** Serialized, by name. */
  readonly #packed = new Map<string, Uint8Array>();
  /** Which file has a type that is not inside of another. */
  readonly #fileOf = new Map<string, string>();
  readonly #filesWithExtensions: string[] = [];
  readonly #files = new Map<string, DescFile>();
  readonly #types = new Map<string, Desc>();

  constructor(descriptorSet: Uint8Array) {
    const reader = new BinaryReader(descriptorSet);
    while (reader.pos < reader.len) {
      reader.tag(); // A set has files and nothing else.
      this.#index(reader.bytes());
    }
  }

  #index(bytes: Uint8Array): void {
    const reader = new BinaryReader(bytes);
    let file = '';
    let scope = '';
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === FILE_NAME) file = reader.string();
      else if (field === FILE_PACKAGE) scope = `${reader.string()}.`;
      else if (FILE_TYPES.includes(field)) {
        // What serializes descriptors writes fields in their order: name and package are known.
        this.#fileOf.set(scope + nameOf(reader.bytes()), file);
        if (field === FILE_EXTENSION && this.#filesWithExtensions.at(-1) !== file)
          this.#filesWithExtensions.push(file);
      } else reader.skip(wireType, field);
    }
    this.#packed.set(file, bytes);
  }

  get(typeName: string): Desc | undefined {
    const known = this.#types.get(typeName);
    if (known !== undefined) return known;
    // A type inside of another is in the file of the outer one.
    for (let name = typeName; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
      const file = this.#fileOf.get(name);
      if (file === undefined) continue;
      this.#load(file);
      return this.#types.get(typeName);
    }
    return undefined;
  }

  getMessage(typeName: string): DescMessage | undefined {
    const found = this.get(typeName);
    return found?.kind === 'message' ? found : undefined;
  }

  getEnum(typeName: string): DescEnum | undefined {
    const found = this.get(typeName);
    return found?.kind === 'enum' ? found : undefined;
  }

  getExtension(typeName: string): DescExtension | undefined {
    const found = this.get(typeName);
    return found?.kind === 'extension' ? found : undefined;
  }

  getExtensionFor(extendee: DescMessage, no: number): DescExtension | undefined {
    for (const file of this.#filesWithExtensions) {
      const found = this.#load(file).extensions.find(
        ({ number, extendee: { typeName } }) => number === no && typeName === extendee.typeName,
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }

  getService(typeName: string): DescService | undefined {
    const found = this.get(typeName);
    return found?.kind === 'service' ? found : undefined;
  }

  getFile(fileName: string): DescFile | undefined {
    return this.#packed.has(fileName) ? this.#load(fileName) : undefined;
  }

  /** All of them, which are loaded for it. */
  get files(): Iterable<DescFile> {
    for (const name of this.#packed.keys()) this.#load(name);
    return this.#files.values();
  }

  [Symbol.iterator](): MapIterator<Desc> {
    void this.files;
    return this.#types.values();
  }

  /** What was decoded so far, of how many: for tests. */
  get loaded(): readonly [files: number, of: number] {
    return [this.#files.size, this.#packed.size];
  }

  /** Imports first: each file is made when those are there. */
  #load(name: string): DescFile {
    const known = this.#files.get(name);
    if (known !== undefined) return known;
    const packed = this.#packed.get(name);
    if (packed === undefined) throw new Error(`the descriptor set has no ${name}`);
    const proto = fromBinary(FileDescriptorProtoSchema, packed);
    for (const imported of proto.dependency) this.#load(imported);
    const made = this.#make(proto);
    this.#files.set(name, made);
    for (const type of nestedTypes(made)) this.#types.set(type.typeName, type);
    return made;
  }

  #make(proto: FileDescriptorProto): DescFile {
    const made = createFileRegistry(proto, (imported) => withoutImports(this.#load(imported))).getFile(
      proto.name,
    );
    if (made === undefined) throw new Error(`${proto.name} cannot be had`);
    return made;
  }
}

/** A file refers to types that it imports itself. What is behind those would be gone through anew for each way that leads there. */
function withoutImports(file: DescFile): DescFile {
  const dependencies = file.proto.publicDependency.flatMap((i) => file.dependencies[i] ?? []);
  return Object.create(file, { dependencies: { value: dependencies } }) as DescFile;
}

function nameOf(bytes: Uint8Array): string {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === TYPE_NAME) return reader.string();
    reader.skip(wireType, field);
  }
  return '';
}

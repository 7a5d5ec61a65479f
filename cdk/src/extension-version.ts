import { shown } from './private/text';

/**
 * The version that an extension shall have.
 *
 * A plain string means the same: `'3.4.3'`, `'latest'`, `'any'`, `'absent'`, `'3.4.*'`.
 */
export class ExtensionVersion {
  /** The server's default version: created at it, or updated to it. */
  public static readonly LATEST = new ExtensionVersion('latest');

  /** Created at the server's default version where it is missing. An installed one is left alone. */
  public static readonly ANY = new ExtensionVersion('any');

  /** Dropped where it is installed, no matter who created it. Refused while something depends on it. */
  public static readonly ABSENT = new ExtensionVersion('absent');

  /**
   * Exactly this version: created at it, or updated to it along the server's update path.
   *
   * @param version as the server spells it, such as `3.4.3`
   */
  public static exact(version: string): ExtensionVersion {
    if (typeof version === 'string' && version.includes('*')) {
      throw new Error(
        `ExtensionVersion.exact has \`${shown(version)}\`: a version with a \`*\` is ExtensionVersion.matching`,
      );
    }
    return new ExtensionVersion(version);
  }

  /**
   * A release that begins so. An installed one that matches is left alone. Else it is the server's default
   * version if that matches, else the highest release that does.
   *
   * @param pattern with a `*` at its end, such as `3.4.*`
   */
  public static matching(pattern: string): ExtensionVersion {
    return new ExtensionVersion(pattern);
  }

  private constructor(
    /** As it stands in the template. */
    public readonly value: string,
  ) {}

  /** As it stands in the template. */
  public toString(): string {
    return this.value;
  }
}

/** An extension with more than a version. */
export interface ExtensionOptions {
  /**
   * The version.
   *
   * @default ExtensionVersion.ANY
   */
  readonly version?: string | ExtensionVersion;

  /**
   * Where the extension's objects go. A missing schema is created; an extension in another schema is moved if it is
   * relocatable.
   *
   * @default - the schema that the extension prescribes, else `public`
   */
  readonly schema?: string;
}

export * from './extension-version';
export * from './extensions';
export * from './provider';

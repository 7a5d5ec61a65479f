-- Whether PostGIS has its raster part in itself, as before 3.0. A part of details.sql.
EXISTS (
    SELECT FROM pg_extension AS e
    JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                       AND d.classid = 'pg_type'::regclass AND d.deptype = 'e'
    JOIN pg_type AS t ON t.oid = d.objid
    WHERE e.extname = 'postgis' AND t.typname = 'raster')

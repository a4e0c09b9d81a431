BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'edgeloop','m001_first_tables','2026-11-24 18:52:10.551844+00:00');
CREATE TABLE devices (
    id text primary key, device_key blob not null, info_json text not null,
    paired_at real not null, last_seen real, revoked_at real
) without rowid;
INSERT INTO "devices" VALUES('d1',X'0101010101010101010101010101010101010101010101010101010101010101','{"name":"phone","platform":"android","system":"14","processor":"arm64","cores":8,"memory_bytes":1,"app_version":"0.1.0","python_version":"3.11"}',1700000000.0,NULL,NULL);
CREATE TABLE jobs (
    id text primary key, workspace text not null references workspaces(id), kind text not null, name text not null,
    state text not null, parameters_json text not null, created_at real not null, started_at real, ended_at real,
    result_json text, error_json text
) without rowid;
INSERT INTO "jobs" VALUES('j1','w1','train','local','failed','{}',1700000020.0,1700000021.0,1700000022.0,NULL,'{"code":"job-failed","message":"The training exited with status 1."}');
INSERT INTO "jobs" VALUES('j2','w1','tool','convert','succeeded','{"source":"a.onnx"}',1700000010.0,1700000011.0,1700000012.0,'{"size":7}',NULL);
CREATE TABLE metrics (
    run text not null, tag text not null, step integer not null, value real not null, time real not null,
    primary key (run, tag, step)
) without rowid;
INSERT INTO "metrics" VALUES('j1','loss',3,0.25,1700000021.5);
CREATE TABLE records (
    device text not null, epoch text not null, stream text not null, sequence integer not null,
    is_continued integer not null, payload blob not null,
    primary key (device, epoch, stream, sequence)
) without rowid;
INSERT INTO "records" VALUES('d1','e1','r1.logs',1,0,X'7B2274696D655F6E73223A312C22736F75726365223A227374646F7574222C2274657874223A2268656C6C6F227D');
CREATE TABLE run_files (
    run text not null references runs(id), name text not null, sha256 text not null, size integer not null,
    is_received integer not null default 0,
    primary key (run, name)
) without rowid;
INSERT INTO "run_files" VALUES('r1','plot.png','abababababababababababababababababababababababababababababababab',9,1);
CREATE TABLE runs (
    id text primary key, workspace text not null references workspaces(id), device text not null references devices(id),
    script text not null, arguments_json text not null, trace integer not null, manifest text not null,
    state text not null, created_at real not null, started_at real, ended_at real,
    progress_json text, result_json text not null default '{}', error_json text
);
INSERT INTO "runs" VALUES('r1','w1','d1','bench.py','["--fast"]',1,'abababababababababababababababababababababababababababababababab','succeeded',1700000030.0,1700000031.0,1700000032.0,'{"received":5,"total":5}','{"p50_ms":1.5}',NULL);
CREATE TABLE settings (name text primary key, value_json text not null) without rowid;
INSERT INTO "settings" VALUES('device_port','40123');
CREATE TABLE workspaces (
    id text primary key, path text not null unique, name text not null,
    is_trusted integer not null default 0, is_open integer not null default 1, opened_at real not null
) without rowid;
INSERT INTO "workspaces" VALUES('w1','/home/u/digits','digits',1,1,1700000001.0);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX jobs_by_workspace on jobs (workspace, created_at);
CREATE INDEX runs_by_workspace on runs (workspace, created_at);
CREATE INDEX records_by_stream on records (stream, sequence)
;
COMMIT;
